// Package sqlite opens SQLite files the way this product needs them: one
// writer with group commit, several read-only readers, the same pragmas on
// every connection, an authorizer and limits for SQL from strangers, and rows
// read in batches without boxing. It is the only user of the driver and knows
// nothing of projects, tables or HTTP.
package sqlite
