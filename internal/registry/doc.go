// Package registry is the server's own database: accounts, projects, project
// users and tokens, and what each token may do. It turns a secret into a
// Workspace, the proof that access to a project was checked. It refuses to know
// about HTTP and about what is inside a project beyond the names of its tables.
package registry
