package api

import (
	"net/http"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
)

// routes is the whole API. Routing, decoding, validation, the OpenAPI document
// and the contract tests all read this list.
func routes(h *handlers) []*endpoint {
	const project = "/projects/{project}"
	const table, column = project + "/table/{table_id_or_name}", project + "/column/{table}"
	const records, indexes = project + "/records/{table}", project + "/indexes/{table}"
	const tokens, exports, imports = project + "/auth/tokens", project + "/exports", project + "/imports"
	var (
		conflicts   = fails(problem.CodeConflict, problem.CodeQueryTimeout)
		reading     = fails(problem.CodeQueryTimeout)
		exporting   = fails(problem.CodeExportFailed, problem.CodeStorageFull)
		downloading = fails(problem.CodeExportNotReady, problem.CodeExportFailed, problem.CodeExportExpired)
		importing   = fails(problem.CodeConflict, problem.CodeNotFound, problem.CodeStorageFull)
		writing     = fails(problem.CodeConflict, problem.CodeStorageFull, problem.CodeQueryTimeout)

		schemaRead, schemaWrite   = scope(registry.SchemaRead), scope(registry.SchemaWrite)
		recordsRead, recordsWrite = scope(registry.RecordsRead), scope(registry.RecordsWrite)
		exportsRead, tokensManage = scope(registry.ExportsRead), scope(registry.TokensManage)
		exportsCreate, admin      = scope(registry.ExportsCreate), scope(registry.ProjectAdmin)
	)
	return []*endpoint{
		route("POST", "/bootstrap", "bootstrap", "Make a project with tables, rows, indexes and tokens", admin, h.bootstrap, created, once(keyRefused), bodyUpTo(32), writing),
		route("GET", project, "get-project", "Show the project", anyToken(), plain(h.getProject), reading),
		route("PATCH", project, "rename-project", "Rename the project", admin, h.renameProject),
		route("DELETE", project, "delete-project", "Delete the project with all its data", admin, h.deleteProject),

		route("GET", project+"/auth/me", "show-token", "Show the token of the call", anyToken(), plain(h.showToken)),
		route("GET", tokens, "list-tokens", "List the tokens of the project", tokensManage, plain(h.listTokens)),
		route("POST", tokens, "mint-token", "Mint a token", tokensManage, h.mintToken, created, once(keyRefused)),
		route("POST", tokens+"/test", "test-token", "Mint a temporary token and read a row with it", tokensManage, h.testTokenAccess, created, once(keyRefused), fails(problem.CodeNotFound), reading),
		route("DELETE", tokens+"/{token_id}", "revoke-token", "Revoke a token", tokensManage, plain(h.revokeToken)),

		route("GET", project+"/tables", "list-tables", "List tables", schemaRead, plain(h.listTables), reading),
		route("POST", project+"/table", "create-table", "Create a table", schemaWrite, h.createTable, created, once(keySchema), writing),
		route("GET", table, "get-table", "Show a table with its columns", schemaRead, plain(h.getTable), reading),
		route("PATCH", table, "update-table", "Change the names of a table", schemaWrite, h.updateTable, conflicts),
		route("DELETE", table, "delete-table", "Delete a table with its rows", schemaWrite, plain(h.deleteTable), conflicts),

		route("GET", column, "list-columns", "List the columns of a table", schemaRead, plain(h.listColumns), reading),
		route("POST", column, "add-column", "Add a column", schemaWrite, h.addColumn, created, once(keyColumns), writing),
		route("PATCH", column, "update-columns", "Change columns, all or nothing", schemaWrite, h.updateColumns, writing, fails(problem.CodeColumnTypeLocked)),
		route("PATCH", column+"/{column_id_or_name}", "update-column", "Change a column", schemaWrite, h.updateColumn, writing, fails(problem.CodeColumnTypeLocked)),
		route("DELETE", column+"/{column_id_or_name}", "delete-column", "Delete a column with its values", schemaWrite, h.deleteColumn, conflicts),

		route("GET", records, "list-records", "List records", recordsRead, h.listRecords, reading),
		route("POST", records, "insert-records", "Insert a record or many", recordsWrite, h.insertRecords, created, once(keyRows), rightsBefore(h.mayInsert), narrowing(h.narrowInserted), or(http.StatusOK), bodyUpTo(32), writing),
		route("PATCH", records, "update-records", "Change every record that matches", recordsWrite, h.updateRecords, bodyUpTo(32), writing),
		route("DELETE", records, "delete-records", "Delete every record that matches", recordsWrite, h.deleteRecords, bodyUpTo(32), conflicts),
		route("GET", records+"/{id}", "get-record", "Show a record", recordsRead, h.getRecord, reading),
		route("PATCH", records+"/{id}", "update-record", "Change a record", recordsWrite, h.updateRecord, bodyUpTo(32), writing),
		route("DELETE", records+"/{id}", "delete-record", "Delete a record", recordsWrite, plain(h.deleteRecord), conflicts),

		route("POST", project+"/query", "query", "Run a read-only SQL statement", scope(registry.QueryRead), h.query, bodyUpTo(32), fails(problem.CodeQueryTimeout)),
		route("GET", indexes, "list-indexes", "List the indexes of a table", schemaRead, plain(h.listIndexes), reading),
		route("POST", indexes, "create-index", "Create an index", schemaWrite, h.createIndex, created, once(keySchema), writing),
		route("DELETE", indexes+"/{index}", "delete-index", "Delete an index", schemaWrite, h.deleteIndex, reading),

		route("POST", project+"/export/table/{table}", "export-table", "Export a table", exportsCreate, orderOnce(h, h.exportTable), created, or(http.StatusAccepted), or(http.StatusOK), once(keyExport), rightsBefore(h.mayExportTable), exporting),
		route("POST", project+"/export/query", "export-query", "Export the result of a read-only SQL statement", exportsCreate, orderOnce(h, h.exportQuery), created, or(http.StatusAccepted), or(http.StatusOK), once(keyExport), rightsBefore(h.mayExportQuery), bodyUpTo(32), exporting),
		route("POST", project+"/export/database", "export-database", "Export tables together", admin, orderOnce(h, h.exportDatabase), created, or(http.StatusAccepted), or(http.StatusOK), once(keyExport), exporting),
		route("POST", project+"/export/schema", "export-schema", "Export the schema", admin, orderOnce(h, h.exportSchema), created, or(http.StatusAccepted), or(http.StatusOK), once(keyExport), exporting),
		route("GET", exports, "list-exports", "List exports, newest first", exportsRead, plain(h.listExports)),
		route("GET", exports+"/{export_id}", "get-export", "Show the manifest of an export", exportsRead, plain(h.getExport)),
		route("GET", exports+"/{export_id}/events", "follow-export", "Follow an export while it is made", exportsRead, plain(h.followExport)),
		route("POST", exports+"/{export_id}/verify", "verify-export", "Read the file of an export again and compare it with the manifest", exportsRead, plain(h.verifyExport), downloading),
		route("POST", exports+"/{export_id}/rehearse-restore", "rehearse-restore", "Restore an export into a scratch project and compare it with the snapshot", exportsRead, h.rehearseRestore, downloading, fails(problem.CodeStorageFull)),
		route("DELETE", exports+"/{export_id}", "delete-export", "Cancel or remove an export", exportsCreate, plain(h.deleteExport)),
		route("GET", project+"/export/download/{export_id}", "download-export", "Download the file of an export", exportsRead, plain(h.downloadExport), or(http.StatusTemporaryRedirect), downloading),

		route("POST", imports, "create-import", "Import a file, or begin to upload one in parts", recordsWrite, h.createImport, uploads, created, or(http.StatusAccepted), once(keyImport), orForm[ImportOptions](), importing),
		route("OPTIONS", imports, "show-tus", "Show what of the protocol for uploads in parts is spoken", recordsWrite, plain(h.showTus), uploads, with(http.StatusNoContent)),
		route("HEAD", imports+"/{import_id}", "show-upload", "Show how far an upload in parts is", recordsWrite, plain(h.showUpload), uploads),
		route("PATCH", imports+"/{import_id}", "continue-upload", "Upload a part", recordsWrite, h.continueUpload, uploads, with(http.StatusNoContent), media(partType), importing),
		route("GET", imports, "list-imports", "List imports, newest first", recordsWrite, plain(h.listImports), uploads),
		route("GET", imports+"/{import_id}", "get-import", "Show the manifest of an import", recordsWrite, plain(h.getImport), uploads),
		route("GET", imports+"/{import_id}/events", "follow-import", "Follow an import", recordsWrite, plain(h.followImport)),
		route("GET", imports+"/{import_id}/rejects", "import-rejects", "Download the rows that were refused", recordsWrite, plain(h.importRejects)),
		route("POST", imports+"/{import_id}/run", "run-import", "Run a dry run, or an import that failed, without sending the file again", recordsWrite, h.runImport, or(http.StatusAccepted), importing),
		route("DELETE", imports+"/{import_id}", "delete-import", "Cancel or remove an import", recordsWrite, plain(h.deleteImport), uploads, or(http.StatusNoContent), conflicts),
		route("OPTIONS", "/import-project", "show-project-tus", "Show what of the protocol for uploads in parts is spoken", admin, plain(h.showTus), uploads, with(http.StatusNoContent)),
		route("POST", "/import-project", "import-project", "Make a project of a file", admin, h.importProject, uploads, created, or(http.StatusAccepted), once(keyRefused), orForm[ProjectImportOptions](), importing),
	}
}
