// Package panel is the web interface at /admin: pages rendered by the server, plain links
// and forms, and a few custom elements where a page is live.
//
// The panel can do nothing that the API cannot. A page gets what it shows by calling the
// API in this process, with the session as the credential, and its scripts call the same
// routes below /admin/api. So every check is the API's own.
//
// See DESIGN.md for how it is built and what must not change.
package panel
