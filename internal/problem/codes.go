package problem

// Code is the machine-readable code of an error. The set is closed: Codes lists all of
// them.
type Code string

// The codes of the wire contract.
const (
	CodeInvalidJSON          Code = "invalid_json"
	CodeMissingAuthorization Code = "missing_authorization"
	CodeInvalidToken         Code = "invalid_token"
	CodePermissionDenied     Code = "permission_denied"
	CodeNotFound             Code = "not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeRequestTimeout       Code = "request_timeout"
	CodeConflict             Code = "conflict"
	CodeColumnTypeLocked     Code = "column_type_locked"
	CodeExportNotReady       Code = "export_not_ready"
	CodeExportFailed         Code = "export_failed"
	CodeExportExpired        Code = "export_expired"
	CodeChangesExpired       Code = "changes_expired"
	CodePreconditionFailed   Code = "precondition_failed"
	CodeBodyTooLarge         Code = "body_too_large"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeValidationFailed     Code = "validation_failed"
	CodeQueryTimeout         Code = "query_timeout"
	CodeResultTooLarge       Code = "result_too_large"
	CodeRateLimited          Code = "rate_limited"
	CodeInternal             Code = "internal_error"
	CodeBusy                 Code = "busy"
	CodeProjectDamaged       Code = "project_damaged"
	CodeStorageFull          Code = "storage_full"
)

// Meaning is one row of the table of codes: the HTTP status that the code is returned
// with and when it is used.
type Meaning struct {
	Code   Code
	Status int
	When   string
}

// Codes is the table from code to status and meaning, and the only place where either
// is defined. docs/errors.md is generated from it.
var Codes = [...]Meaning{
	{CodeInvalidJSON, 400, "The body is not JSON, or its text is not valid UTF-8."},
	{CodeMissingAuthorization, 401, "The request carries no Bearer token."},
	{CodeInvalidToken, 401, "The token is unknown, expired, revoked, inactive or malformed, belongs to another project, or the project does not exist. These cases cannot be told apart."},
	{CodePermissionDenied, 403, "The credential is valid here but may not do this."},
	{CodeNotFound, 404, "There is no such route, table, column, record, index, token, export or import; the artifact has vanished; or its manifest is no longer kept."},
	{CodeMethodNotAllowed, 405, "The route exists, but not with this method. The Allow header lists those it has."},
	{CodeRequestTimeout, 408, BodyTooSlow},
	{CodeConflict, 409, "A name or a unique value is taken, a foreign key forbids the change, or the same request is still running."},
	{CodeColumnTypeLocked, 409, "The type of a column with saved values cannot be changed."},
	{CodeExportNotReady, 409, "The export to download is still pending or running."},
	{CodeExportFailed, 409, "The export failed or was canceled."},
	{CodeExportExpired, 410, "The export file has expired."},
	{CodeChangesExpired, 410, "The changes after this place are no longer kept."},
	{CodePreconditionFailed, 412, "The record is not in the state that If-Match or If-None-Match names. The error has the record as it is, and its etag."},
	{CodeBodyTooLarge, 413, "The body is larger than this route allows."},
	{CodeUnsupportedMediaType, 415, "The Content-Type of the body is not one that this route reads."},
	{CodeValidationFailed, 422, "A path, query or body field is not valid. The details list every such field at once, up to 100 of them."},
	{CodeQueryTimeout, 422, "The statement, the read or the change took longer than allowed. Nothing was changed."},
	{CodeResultTooLarge, 422, "The statement needed more memory, rows or bytes than allowed."},
	{CodeRateLimited, 429, "Too many requests. Retry-After says when to come back."},
	{CodeInternal, 500, Internal("the request id")},
	{CodeBusy, 503, "The server or the project is too busy now. Retry-After says when to come back."},
	{CodeProjectDamaged, 503, "The project's database cannot be read. Other projects are not affected."},
	{CodeStorageFull, 507, DiskFull},
}

// Status returns the HTTP status of the code, or 500 if the code is not in the table.
func (c Code) Status() int {
	for _, m := range Codes {
		if m.Code == c {
			return m.Status
		}
	}
	return 500
}
