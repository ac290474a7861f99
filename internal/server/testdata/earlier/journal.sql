PRAGMA application_id = 1515481649;
PRAGMA user_version = 2;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE runs (
	project_id   INTEGER NOT NULL,
	token_id     INTEGER NOT NULL,
	run_id       TEXT NOT NULL,
	last_call_at INTEGER NOT NULL, generated INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (project_id, token_id, run_id)
) STRICT, WITHOUT ROWID;
INSERT INTO runs VALUES(1,1,'oprun_20261201T023919_019993Z_daef74af6c37',1796092759090379099,1);
CREATE TABLE names (
	project_id INTEGER NOT NULL,
	token_id   INTEGER NOT NULL,
	kind       INTEGER NOT NULL, -- 0: the id of a run that was continued, 1: a key
	name       TEXT NOT NULL,
	run_id     TEXT NOT NULL,
	PRIMARY KEY (project_id, token_id, kind, name)
) STRICT, WITHOUT ROWID;
INSERT INTO names VALUES(1,1,1,'nightly','oprun_20261201T023919_019993Z_daef74af6c37');
COMMIT;
