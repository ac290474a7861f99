PRAGMA application_id = 1515481393;
PRAGMA user_version = 5;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE imports (
	seq        INTEGER PRIMARY KEY AUTOINCREMENT,
	id         TEXT NOT NULL UNIQUE,
	project_id INTEGER NOT NULL,
	status     TEXT NOT NULL,
	attempt    INTEGER NOT NULL DEFAULT 0,
	begun_at   INTEGER,
	settled_at INTEGER,
	expires_at INTEGER,
	resumable  INTEGER NOT NULL,
	work       TEXT NOT NULL,
	rejects    TEXT NOT NULL DEFAULT '[]',
	manifest   TEXT NOT NULL
, root INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE turns (
	root    INTEGER PRIMARY KEY,
	turn    INTEGER NOT NULL DEFAULT 0, -- grows with every job that begins
	since   INTEGER NOT NULL,           -- seq of the job with which the queue began to fill
	pending INTEGER NOT NULL DEFAULT 0,
	running INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE queues (
	project_id INTEGER PRIMARY KEY,
	root       INTEGER NOT NULL,
	turn       INTEGER NOT NULL DEFAULT 0,
	since      INTEGER NOT NULL,
	pending    INTEGER NOT NULL DEFAULT 0,
	running    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE history (
	project_id INTEGER PRIMARY KEY,
	bytes      INTEGER NOT NULL
) STRICT;
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
CREATE INDEX imports_by_project ON imports (project_id, seq);
CREATE INDEX imports_by_expiry ON imports (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX imports_queued ON imports (project_id, seq) WHERE status = 'pending' AND attempt = 0;
CREATE INDEX imports_suspect ON imports (seq) WHERE status = 'pending' AND attempt > 0;
CREATE INDEX imports_running ON imports (project_id) WHERE status = 'running';
CREATE INDEX turns_waiting ON turns (running, turn, since) WHERE pending > 0;
CREATE INDEX turns_running ON turns (running) WHERE running > 0;
CREATE INDEX turns_by_turn ON turns (turn);
CREATE INDEX queues_waiting ON queues (root, turn, since) WHERE pending > 0;
CREATE INDEX queues_by_root ON queues (root);
CREATE TRIGGER imports_enter AFTER INSERT ON imports
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
CREATE TRIGGER imports_go_on AFTER UPDATE OF status, attempt ON imports
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
CREATE TRIGGER imports_leave AFTER DELETE ON imports
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
CREATE INDEX imports_uploading ON imports (project_id) WHERE status = 'uploading';
CREATE INDEX imports_held ON imports (project_id, held) WHERE expires_at IS NOT NULL OR status IN ('pending', 'running');
CREATE INDEX imports_spare ON imports (project_id, seq, held) WHERE expires_at IS NOT NULL AND status IN ('failed', 'ready');
CREATE INDEX imports_spent ON imports (project_id, seq) WHERE settled_at IS NOT NULL AND expires_at IS NULL;
CREATE TRIGGER imports_entered AFTER INSERT ON imports
BEGIN
	INSERT INTO history (project_id, bytes) VALUES (new.project_id, octet_length(new.work) + octet_length(new.manifest) + octet_length(new.rejects))
	ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER imports_changed AFTER UPDATE OF work, manifest, rejects ON imports
BEGIN
	UPDATE history SET bytes = bytes + octet_length(new.work) + octet_length(new.manifest) + octet_length(new.rejects) - (octet_length(old.work) + octet_length(old.manifest) + octet_length(old.rejects)) WHERE project_id = new.project_id;
END;
CREATE TRIGGER imports_removed AFTER DELETE ON imports
BEGIN
	UPDATE history SET bytes = bytes - (octet_length(old.work) + octet_length(old.manifest) + octet_length(old.rejects)) WHERE project_id = old.project_id;
END;
CREATE INDEX receipts_by_age ON receipts (created_at);
COMMIT;
