package api

import (
	"net/http"
	"slices"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// routes returns the whole API. Routing, decoding, validation, the OpenAPI document and
// the contract tests all read this list.
func routes(h *handlers) []*rest.Endpoint {
	const project = "/projects/{project}"
	const table, column = project + "/table/{table_id_or_name}", project + "/column/{table}"
	const records, indexes = project + "/records/{table}", project + "/indexes/{table}"
	const cell = project + "/cells/{table}/{id}/{column_id_or_name}"
	const searchIndex = project + "/search-index/{table}"
	const tokens, users = project + "/auth/tokens", project + "/users"
	const exports, imports = project + "/exports", project + "/imports"
	var (
		conflicts   = rest.Fails(problem.CodeConflict, problem.CodeQueryTimeout)
		reading     = rest.Fails(problem.CodeQueryTimeout)
		conditional = rest.Fails(problem.CodePreconditionFailed)
		naming      = rest.Fails(problem.CodeProjectDamaged) // the tables that scopes are bound to
		downloading = rest.Fails(problem.CodeExportNotReady, problem.CodeExportFailed, problem.CodeExportExpired)
		importing   = rest.Fails(problem.CodeConflict, problem.CodeNotFound, problem.CodeStorageFull, problem.CodeProjectDamaged)
		writing     = rest.Fails(problem.CodeConflict, problem.CodeStorageFull, problem.CodeQueryTimeout)

		ordering = rest.Options(rest.Created, rest.Or(http.StatusAccepted), rest.Or(http.StatusOK), rest.KeyForHandler, rest.Fails(problem.CodeExportFailed, problem.CodeStorageFull, problem.CodeProjectDamaged))

		keptRows, keptSchema = keepWith(projectdb.OwnTransaction), keepWith(projectdb.SchemaTransaction)
		keptColumns          = keepWith(projectdb.RebuildTransaction)

		schemaRead, schemaWrite   = rest.Scope(registry.SchemaRead), rest.Scope(registry.SchemaWrite)
		recordsRead, recordsWrite = rest.Scope(registry.RecordsRead), rest.Scope(registry.RecordsWrite)
		exportsRead, tokensManage = rest.Scope(registry.ExportsRead), rest.Scope(registry.TokensManage)
		journalRead               = rest.Scope(registry.JournalRead)
		exportsCreate, admin      = rest.Scope(registry.ExportsCreate), rest.Scope(registry.ProjectAdmin)
	)
	return slices.Concat([]*rest.Endpoint{
		rest.Route("POST", "/bootstrap", "bootstrap", "Create a project with tables, rows, indexes and tokens", admin, h.bootstrap, rest.Created, rest.RefuseKey, rest.BodyUpTo(32), writing),
		database("GET", project, "get-project", "Show the project", rest.AnyToken(), rest.Plain(h.getProject), reading),
		rest.Route("PATCH", project, "rename-project", "Rename the project", admin, h.renameProject),
		rest.Route("GET", project+"/events", "follow-project", "Follow the commits, jobs, runs and calls of the project", rest.AnyToken(), h.followProject, naming),
		database("GET", project+"/settings", "get-settings", "Show the settings of the project", admin, rest.Plain(h.getSettings), reading),
		database("PATCH", project+"/settings", "change-settings", "Change settings of the project", admin, h.changeSettings, reading),
		rest.Route("DELETE", project, "delete-project", "Delete the project with all its data", admin, h.deleteProject),

		rest.Route("GET", project+"/auth/me", "show-token", "Show the token that makes the call", rest.AnyToken(), rest.Plain(h.showToken), naming),
		rest.Route("GET", tokens, "list-tokens", "List the tokens of the project", tokensManage, rest.Plain(h.listTokens), naming),
		rest.Route("POST", tokens, "mint-token", "Mint a token", tokensManage, h.mintToken, rest.Created, rest.RefuseKey, naming),
		rest.Route("POST", tokens+"/test", "test-token", "Mint a temporary token and read a row with it", tokensManage, h.testTokenAccess, rest.Created, rest.RefuseKey, rest.Fails(problem.CodeNotFound), reading, naming),
		rest.Route("PATCH", tokens+"/{token_id}", "change-token", "Change the name of a token, or take scopes or time from it", tokensManage, h.changeToken, rest.Fails(problem.CodeConflict), naming),
		rest.Route("POST", tokens+"/{token_id}/rotate", "rotate-token", "Replace a token, which stays valid for a while", tokensManage, rest.Plain(h.rotateToken), rest.Created, rest.RefuseKey, rest.Fails(problem.CodeConflict), naming),
		rest.Route("DELETE", tokens+"/{token_id}", "revoke-token", "Revoke a token", tokensManage, rest.Plain(h.revokeToken)),

		rest.Route("GET", users, "list-users", "List the users of the project", admin, rest.Plain(h.listUsers)),
		rest.Route("POST", users, "add-user", "Add a user to the project", admin, h.addUser, rest.Created, rest.RefuseKey, rest.Fails(problem.CodeConflict)),
		rest.Route("PATCH", users+"/{user_id}", "change-user", "Change the name, the password or the role of a user", admin, h.changeUser, rest.Fails(problem.CodeConflict)),
		rest.Route("DELETE", users+"/{user_id}", "remove-user", "Remove a user and revoke that user's tokens", admin, rest.Plain(h.removeUser), rest.Fails(problem.CodeConflict)),

		database("GET", project+"/tables", "list-tables", "List tables", schemaRead, rest.Plain(h.listTables), reading),
		rest.Route("POST", project+"/table", "create-table", "Create a table", schemaWrite, h.createTable, rest.Created, keptSchema, writing),
		database("GET", table, "get-table", "Show a table with its columns", schemaRead, rest.Plain(h.getTable), reading),
		database("PATCH", table, "update-table", "Change the names of a table", schemaWrite, h.updateTable, conflicts),
		database("DELETE", table, "delete-table", "Delete a table with its rows", schemaWrite, rest.Plain(h.deleteTable), conflicts),

		database("GET", column, "list-columns", "List the columns of a table", schemaRead, rest.Plain(h.listColumns), reading),
		rest.Route("POST", column, "add-column", "Add a column", schemaWrite, h.addColumn, rest.Created, keptColumns, writing),
		database("PATCH", column, "update-columns", "Change columns, all or nothing", schemaWrite, h.updateColumns, writing, rest.Fails(problem.CodeColumnTypeLocked)),
		database("PATCH", column+"/{column_id_or_name}", "update-column", "Change a column", schemaWrite, h.updateColumn, writing, rest.Fails(problem.CodeColumnTypeLocked)),
		database("GET", column+"/{column_id_or_name}/values", "list-values", "List the most frequent values of a column", recordsRead, h.listValues, reading),
		database("GET", column+"/{column_id_or_name}/summary", "summarize-column", "Summarize the values of a column", recordsRead, h.summarizeColumn, reading),
		database("DELETE", column+"/{column_id_or_name}", "delete-column", "Delete a column with its values", schemaWrite, h.deleteColumn, conflicts),

		database("GET", records, "list-records", "List records", recordsRead, h.listRecords, rest.Or(http.StatusNotModified), reading),
		database("POST", records+"/search", "search-records", "List records by long filters in a body", recordsRead, h.searchRecords, rest.Reads, rest.BodyUpTo(32), reading),
		database("POST", records+"/aggregate", "aggregate-records", "Compute values from groups of records", recordsRead, h.aggregateRecords, rest.Reads, rest.BodyUpTo(32), rest.Fails(problem.CodeQueryTimeout, problem.CodeResultTooLarge)),
		rest.Route("POST", records, "insert-records", "Insert a record or many", recordsWrite, h.insertRecords, rest.Created, keptRows, rest.RightsBefore(h.mayInsert), rest.Narrowing(h.narrowInserted), rest.Or(http.StatusOK), rest.BodyUpTo(32), writing, rest.NotAudited),
		database("PATCH", records, "update-records", "Change every record that matches", recordsWrite, h.updateRecords, rest.BodyUpTo(32), writing, rest.NotAudited),
		database("DELETE", records, "delete-records", "Delete every record that matches", recordsWrite, h.deleteRecords, rest.BodyUpTo(32), conflicts, rest.NotAudited),
		database("GET", records+"/{id}", "get-record", "Show a record", recordsRead, h.getRecord, conditional, rest.Or(http.StatusNotModified), reading),
		database("PATCH", records+"/{id}", "update-record", "Change a record", recordsWrite, h.updateRecord, conditional, rest.BodyUpTo(32), writing, rest.NotAudited),
		database("DELETE", records+"/{id}", "delete-record", "Delete a record", recordsWrite, rest.Plain(h.deleteRecord), conditional, conflicts, rest.NotAudited),

		rest.Route("POST", project+"/batch", "batch", "Change records of several tables, all or nothing", recordsWrite, h.batch, keptRows, rest.RightsBefore(h.mayBatch), rest.Narrowing(h.narrowBatch), conditional, rest.Fails(problem.CodeNotFound), rest.BodyUpTo(32), writing, rest.NotAudited),
		database("GET", cell, "get-cell", "Show the stored bytes of one value", recordsRead, rest.Plain(h.getCell), reading),
		rest.Route("PUT", cell, "put-cell", "Store bytes as one value", recordsWrite, h.putCell, rest.Status(http.StatusNoContent), rest.Fails(problem.CodePreconditionFailed), writing, rest.Fails(problem.CodeProjectDamaged), rest.NotAudited),

		database("POST", project+"/query", "query", "Run a read-only SQL statement", rest.Scope(registry.QueryRead), h.query, rest.Reads, rest.BodyUpTo(32), rest.Fails(problem.CodeQueryTimeout)),
		rest.Route("DELETE", project+"/query/{query_id}", "cancel-query", "Cancel a running SQL statement", rest.Scope(registry.QueryRead), rest.Plain(h.cancelQuery), rest.NotAudited),
		database("GET", indexes, "list-indexes", "List the indexes of a table", schemaRead, rest.Plain(h.listIndexes), reading),
		rest.Route("POST", indexes, "create-index", "Create an index", schemaWrite, h.createIndex, rest.Created, keptSchema, writing),
		database("DELETE", indexes+"/{index}", "delete-index", "Delete an index", schemaWrite, h.deleteIndex, reading),

		database("GET", searchIndex, "get-search-index", "Show the search index of a table", schemaRead, rest.Plain(h.getSearchIndex), reading),
		rest.Route("POST", searchIndex, "create-search-index", "Make or remake the search index of a table", schemaWrite, h.createSearchIndex, rest.Created, keptSchema, writing),
		database("DELETE", searchIndex, "delete-search-index", "Delete the search index of a table", schemaWrite, rest.Plain(h.deleteSearchIndex), conflicts),

		rest.Route("POST", project+"/export/table/{table}", "export-table", "Export a table", exportsCreate, orderOnce(h, h.exportTable), ordering, rest.RightsBefore(h.mayExportTable)),
		rest.Route("POST", project+"/export/query", "export-query", "Export the result of a read-only SQL statement", exportsCreate, orderOnce(h, h.exportQuery), ordering, rest.RightsBefore(h.mayExportQuery), rest.BodyUpTo(32)),
		rest.Route("POST", project+"/export/database", "export-database", "Export tables together", admin, orderOnce(h, h.exportDatabase), ordering),
		rest.Route("POST", project+"/export/schema", "export-schema", "Export the schema", admin, orderOnce(h, h.exportSchema), ordering),
		rest.Route("POST", project+"/export/requests", "export-requests", "Export recorded calls", exportsCreate, orderOnce(h, h.exportRequests), ordering, rest.RightsBefore(mayExportJournal[exportRequestsIn])),
		rest.Route("POST", project+"/export/runs", "export-runs", "Export runs of operations", exportsCreate, orderOnce(h, h.exportRuns), ordering, rest.RightsBefore(mayExportJournal[exportRunsIn])),
		rest.Route("POST", project+"/export/runs/{run_id}", "export-run", "Export a run with its calls as a bundle", exportsCreate, orderOnce(h, h.exportRun), ordering, rest.RightsBefore(mayExportJournal[exportRunIn])),
		rest.Route("POST", project+"/export/usage", "export-usage", "Export sums of calls", exportsCreate, orderOnce(h, h.exportUsage), ordering, rest.RightsBefore(mayExportJournal[exportUsageIn])),
		rest.Route("GET", exports, "list-exports", "List exports, newest first", exportsRead, rest.Plain(h.listExports), reading),
		rest.Route("GET", exports+"/{export_id}", "get-export", "Show the manifest of an export", exportsRead, rest.Plain(h.getExport)),
		rest.Route("GET", exports+"/{export_id}/events", "follow-export", "Follow an export while it is made", exportsRead, rest.Plain(h.followExport)),
		rest.Route("POST", exports+"/{export_id}/verify", "verify-export", "Read the file of an export again and compare it with the manifest", exportsRead, rest.Plain(h.verifyExport), downloading, rest.NotAudited),
		rest.Route("POST", exports+"/{export_id}/rehearse-restore", "rehearse-restore", "Restore an export into a scratch project and compare it with the snapshot", exportsRead, h.rehearseRestore, downloading, rest.Fails(problem.CodeStorageFull), rest.NotAudited),
		rest.Route("DELETE", exports+"/{export_id}", "delete-export", "Cancel or remove an export", exportsCreate, rest.Plain(h.deleteExport)),
		rest.Route("GET", project+"/export/download/{export_id}", "download-export", "Download the file of an export", exportsRead, rest.Plain(h.downloadExport), rest.Or(http.StatusTemporaryRedirect), downloading, rest.Audited),

		rest.Route("POST", imports, "create-import", "Import a file, or start an upload in parts", recordsWrite, h.createImport, rest.Uploads, rest.Created, rest.Or(http.StatusAccepted), rest.KeyForHandler, rest.OrForm[ImportOptions](), importing),
		rest.Route("OPTIONS", imports, "show-tus", "Show which parts of the upload protocol are supported", recordsWrite, rest.Plain(h.showTus), rest.Uploads, rest.Status(http.StatusNoContent)),
		rest.Route("HEAD", imports+"/{import_id}", "show-upload", "Show how much of an upload has arrived", recordsWrite, rest.Plain(h.showUpload), rest.Uploads),
		rest.Route("PATCH", imports+"/{import_id}", "continue-upload", "Upload a part", recordsWrite, h.continueUpload, rest.Uploads, rest.Status(http.StatusNoContent), rest.Media(partType), importing, rest.NotAudited),
		rest.Route("GET", imports, "list-imports", "List imports, newest first", recordsWrite, rest.Plain(h.listImports), rest.Uploads, reading),
		rest.Route("GET", imports+"/{import_id}", "get-import", "Show the manifest of an import", recordsWrite, rest.Plain(h.getImport), rest.Uploads),
		rest.Route("GET", imports+"/{import_id}/events", "follow-import", "Follow an import", recordsWrite, rest.Plain(h.followImport)),
		rest.Route("GET", imports+"/{import_id}/rejects", "import-rejects", "Download the rejected rows", recordsWrite, rest.Plain(h.importRejects)),
		rest.Route("POST", imports+"/{import_id}/run", "run-import", "Run a dry run or a failed import again without resending the file", recordsWrite, h.runImport, rest.Or(http.StatusAccepted), importing),
		rest.Route("DELETE", imports+"/{import_id}", "delete-import", "Cancel or remove an import", recordsWrite, rest.Plain(h.deleteImport), rest.Uploads, rest.Or(http.StatusNoContent), conflicts),
		rest.Route("GET", project+"/requests", "list-requests", "List the calls of the project, newest first", journalRead, h.listRequests, reading),
		rest.Route("GET", project+"/requests/events", "follow-requests", "Follow the calls of the project", journalRead, h.followRequests),
		rest.Route("GET", project+"/requests/{request_id}", "get-request", "Show a call", journalRead, rest.Plain(h.getRequest), reading),
		rest.Route("GET", project+"/operations", "list-operations", "List the operations, by key", journalRead, h.listOperations, reading),
		rest.Route("GET", project+"/operations/runs", "list-runs", "List the runs of operations, the last started first", journalRead, h.listRuns, reading),
		rest.Route("GET", project+"/operations/runs/{run_id}", "get-run", "Show a run with its calls", journalRead, rest.Plain(h.getRun), reading),
		rest.Route("GET", project+"/operations/runs/{run_id}/events", "follow-run", "Follow the calls of a run while it is open", journalRead, rest.Plain(h.followRun), reading),
		database("GET", project+"/changes", "list-changes", "List what was changed, the oldest change first", recordsRead, h.listChanges, reading, rest.Fails(problem.CodeChangesExpired, problem.CodeNotFound)),
		database("DELETE", project+"/changes", "erase-changes", "Erase the record of what was changed", admin, rest.Plain(h.eraseChanges), rest.Fails(problem.CodeNotFound), reading),
		database("GET", project+"/history/{table}/{id}", "list-history", "List the changes of a record, the newest first", recordsRead, h.listHistory, reading),
		database("GET", project+"/operations/runs/{run_id}/changes", "list-run-changes", "List what a run has changed", recordsRead, h.listRunChanges, reading, rest.Fails(problem.CodeChangesExpired)),
		database("POST", project+"/operations/runs/{run_id}/revert", "revert-run", "Take back what a run has changed, all or nothing", admin, rest.Plain(h.revertRun), rest.RefuseKey, writing),
		database("POST", project+"/requests/{request_id}/revert", "revert-request", "Take back what a call has changed, all or nothing", admin, rest.Plain(h.revertRequest), rest.RefuseKey, writing),
		rest.Route("GET", project+"/usage", "get-usage", "Sum up calls by hour or day", journalRead, h.usage, reading),
		rest.Route("OPTIONS", "/import-project", "show-project-tus", "Show which parts of the upload protocol are supported", admin, rest.Plain(h.showTus), rest.Uploads, rest.Status(http.StatusNoContent)),
		rest.Route("POST", "/import-project", "import-project", "Create a project from a file", admin, h.importProject, rest.Uploads, rest.Created, rest.Or(http.StatusAccepted), rest.RefuseKey, rest.OrForm[ProjectImportOptions](), importing),
	}, savedRoutes(projectdb.SavedFilters, "filter", registry.RecordsRead), savedRoutes(projectdb.SavedQueries, "query", registry.QueryRead))
}
