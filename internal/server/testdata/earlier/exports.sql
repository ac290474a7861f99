PRAGMA application_id = 1515480369;
PRAGMA user_version = 6;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE exports (
	seq        INTEGER PRIMARY KEY AUTOINCREMENT,
	id         TEXT NOT NULL UNIQUE,
	project_id INTEGER NOT NULL,
	status     TEXT NOT NULL,
	attempt    INTEGER NOT NULL DEFAULT 0,
	life       INTEGER NOT NULL,
	settled_at INTEGER,
	expires_at INTEGER,
	failure    TEXT NOT NULL DEFAULT '',
	ext        TEXT NOT NULL,
	work       TEXT NOT NULL,
	table_ids  TEXT NOT NULL,
	manifest   TEXT NOT NULL
, store TEXT NOT NULL DEFAULT '', root INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO exports VALUES(1,'exp_20261201_023919_28059bd1dd',1,'ready',1,86400000,1796092759095,253402214400000,'','csv','{"Tables":[1],"Excluded":null,"Selections":{"1":{"Columns":null,"Filters":null,"Sort":"","Descending":false,"Limit":0,"Offset":0,"Total":false}},"SQL":"","Params":null,"Readable":null,"Dialect":null,"Dialects":{},"Compress":"","Canonical":false,"Split":false}','[1]','{"id":"exp_20261201_023919_28059bd1dd","kind":"table_export","scope":"project","project":"example_project","table":"books","format":"csv","download_name":"books.csv","download_url":"/projects/example_project/export/download/exp_20261201_023919_28059bd1dd","storage_backend":"local","content_type":"text/csv; charset=utf-8","row_count":2,"status":"ready","size_bytes":47,"sha256":"11d1732bb5cf9b4d8f456ec50fb4220f11f9ca666925c2dc8b0add427256d246","tables":[{"name":"books","row_count":2,"rows_expected":2,"columns":[{"name":"id","type":"INTEGER"},{"name":"title","type":"TEXT"},{"name":"pages","type":"INTEGER"},{"name":"price","type":"REAL"}],"content_hash":"deca3cc1923e7a6d6668800b9bd8dc37"}],"snapshot":{"commit":3,"time":"2026-12-01T02:39:19Z"},"format_version":1,"options":{},"progress":{"rows_done":2,"rows_total":2,"bytes":47},"error":null,"created_at":"2026-12-01T02:39:19Z","completed_at":"2026-12-01T02:39:19Z","expires_at":"9999-12-30T00:00:00Z","created_by_token_id":1,"operation_run_id":"oprun_20261201T023919_019993Z_daef74af6c37"}','',1);
CREATE TABLE leftovers (
	store     TEXT NOT NULL,
	key       TEXT NOT NULL,
	export_id TEXT NOT NULL,
	PRIMARY KEY (store, key)
) STRICT;
CREATE TABLE turns (
	root    INTEGER PRIMARY KEY,
	turn    INTEGER NOT NULL DEFAULT 0, -- grows with every job that begins
	since   INTEGER NOT NULL,           -- seq of the job with which the queue began to fill
	pending INTEGER NOT NULL DEFAULT 0,
	running INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO turns VALUES(1,1,1,0,0);
CREATE TABLE queues (
	project_id INTEGER PRIMARY KEY,
	root       INTEGER NOT NULL,
	turn       INTEGER NOT NULL DEFAULT 0,
	since      INTEGER NOT NULL,
	pending    INTEGER NOT NULL DEFAULT 0,
	running    INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO queues VALUES(1,1,1,1,0,0);
CREATE TABLE history (
	project_id INTEGER PRIMARY KEY,
	bytes      INTEGER NOT NULL
) STRICT;
INSERT INTO history VALUES(1,1304);
CREATE TABLE receipts (
	project_id INTEGER NOT NULL,
	token_id   INTEGER NOT NULL,
	key        TEXT NOT NULL,
	request    BLOB NOT NULL,
	job_id     TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (project_id, token_id, key)
) STRICT;
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('exports',1);
CREATE INDEX exports_by_project ON exports (project_id, seq);
CREATE INDEX exports_by_expiry ON exports (expires_at) WHERE expires_at IS NOT NULL;
CREATE TRIGGER object_needed AFTER UPDATE OF status ON exports
WHEN new.store <> '' AND new.status = 'ready'
BEGIN
	DELETE FROM leftovers WHERE store = new.store AND key = new.project_id || '/' || new.id || '.' || new.ext;
END;
CREATE TRIGGER object_not_needed AFTER UPDATE OF status ON exports
WHEN old.store <> '' AND old.status = 'ready' AND new.status <> 'ready'
BEGIN
	INSERT OR IGNORE INTO leftovers VALUES (old.store, old.project_id || '/' || old.id || '.' || old.ext, old.id);
END;
CREATE TRIGGER export_removed AFTER DELETE ON exports
WHEN old.store <> '' AND old.status = 'ready'
BEGIN
	INSERT OR IGNORE INTO leftovers VALUES (old.store, old.project_id || '/' || old.id || '.' || old.ext, old.id);
END;
CREATE INDEX exports_queued ON exports (project_id, seq) WHERE status = 'pending' AND attempt = 0;
CREATE INDEX exports_suspect ON exports (seq) WHERE status = 'pending' AND attempt > 0;
CREATE INDEX exports_running ON exports (project_id) WHERE status = 'running';
CREATE INDEX turns_waiting ON turns (running, turn, since) WHERE pending > 0;
CREATE INDEX turns_running ON turns (running) WHERE running > 0;
CREATE INDEX turns_by_turn ON turns (turn);
CREATE INDEX queues_waiting ON queues (root, turn, since) WHERE pending > 0;
CREATE INDEX queues_by_root ON queues (root);
CREATE TRIGGER exports_enter AFTER INSERT ON exports
WHEN new.status IN ('pending', 'running')
BEGIN
	INSERT OR IGNORE INTO turns (root, since) VALUES (new.root, new.seq);
	INSERT OR IGNORE INTO queues (project_id, root, since) VALUES (new.project_id, new.root, new.seq);
	UPDATE turns SET
		since = CASE WHEN pending > 0 THEN since ELSE new.seq END,
		pending = pending + (new.status = 'pending' AND new.attempt = 0),
		running = running + (new.status = 'running')
	WHERE root = new.root;
	UPDATE queues SET
		since = CASE WHEN pending > 0 THEN since ELSE new.seq END,
		pending = pending + (new.status = 'pending' AND new.attempt = 0),
		running = running + (new.status = 'running')
	WHERE project_id = new.project_id;
END;
CREATE TRIGGER exports_go_on AFTER UPDATE OF status, attempt ON exports
WHEN (old.status, old.attempt) <> (new.status, new.attempt)
	AND (old.status IN ('pending', 'running') OR new.status IN ('pending', 'running'))
BEGIN
	INSERT OR IGNORE INTO turns (root, since) VALUES (new.root, new.seq);
	INSERT OR IGNORE INTO queues (project_id, root, since) VALUES (new.project_id, new.root, new.seq);
	UPDATE turns SET
		since = CASE WHEN new.status <> 'pending' THEN since WHEN pending > 0 THEN min(since, new.seq) ELSE new.seq END,
		pending = pending + (new.status = 'pending' AND new.attempt = 0) - (old.status = 'pending' AND old.attempt = 0),
		running = running + (new.status = 'running') - (old.status = 'running')
	WHERE root = new.root;
	UPDATE queues SET
		since = CASE WHEN new.status <> 'pending' THEN since WHEN pending > 0 THEN min(since, new.seq) ELSE new.seq END,
		pending = pending + (new.status = 'pending' AND new.attempt = 0) - (old.status = 'pending' AND old.attempt = 0),
		running = running + (new.status = 'running') - (old.status = 'running')
	WHERE project_id = new.project_id;
END;
CREATE TRIGGER exports_leave AFTER DELETE ON exports
WHEN old.status IN ('pending', 'running')
BEGIN
	UPDATE turns SET
		pending = pending - (old.status = 'pending' AND old.attempt = 0),
		running = running - (old.status = 'running')
	WHERE root = old.root;
	UPDATE queues SET
		pending = pending - (old.status = 'pending' AND old.attempt = 0),
		running = running - (old.status = 'running')
	WHERE project_id = old.project_id;
END;
CREATE INDEX exports_spent ON exports (project_id, seq) WHERE status IN ('failed', 'canceled', 'expired');
CREATE TRIGGER exports_entered AFTER INSERT ON exports
BEGIN
	INSERT INTO history (project_id, bytes) VALUES (new.project_id, octet_length(new.work) + octet_length(new.manifest))
	ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER exports_changed AFTER UPDATE OF work, manifest ON exports
BEGIN
	UPDATE history SET bytes = bytes + octet_length(new.work) + octet_length(new.manifest) - (octet_length(old.work) + octet_length(old.manifest)) WHERE project_id = new.project_id;
END;
CREATE TRIGGER exports_removed AFTER DELETE ON exports
BEGIN
	UPDATE history SET bytes = bytes - (octet_length(old.work) + octet_length(old.manifest)) WHERE project_id = old.project_id;
END;
CREATE INDEX receipts_by_age ON receipts (created_at);
COMMIT;
