PRAGMA application_id = 1515483185;
PRAGMA user_version = 2;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _project (
	commits   INTEGER NOT NULL,
	catalogue INTEGER NOT NULL
) STRICT;
INSERT INTO _project VALUES(3,2);
CREATE TABLE _tables (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	table_name   TEXT NOT NULL COLLATE NOCASE UNIQUE,
	display_name TEXT,
	created_at   TEXT NOT NULL,
	updated_at   TEXT NOT NULL
) STRICT;
INSERT INTO _tables VALUES(1,'books','Books','2026-12-01T02:39:19Z','2026-12-01T02:39:19Z');
INSERT INTO _tables VALUES(2,'people',NULL,'2026-12-01T02:39:19Z','2026-12-01T02:39:19Z');
CREATE TABLE _columns (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	table_id    INTEGER NOT NULL REFERENCES _tables (id) ON DELETE CASCADE,
	column_name TEXT NOT NULL COLLATE NOCASE,
	created_at  TEXT NOT NULL,
	updated_at  TEXT NOT NULL,
	UNIQUE (table_id, column_name)
) STRICT;
INSERT INTO _columns VALUES(1,1,'id','2026-12-01T02:39:19Z','2026-12-01T02:39:19Z');
INSERT INTO _columns VALUES(2,1,'title','2026-12-01T02:39:19Z','2026-12-01T02:39:19Z');
INSERT INTO _columns VALUES(3,1,'pages','2026-12-01T02:39:19Z','2026-12-01T02:39:19Z');
INSERT INTO _columns VALUES(4,1,'price','2026-12-01T02:39:19Z','2026-12-01T02:39:19Z');
INSERT INTO _columns VALUES(5,2,'name','2026-12-01T02:39:19Z','2026-12-01T02:39:19Z');
INSERT INTO _columns VALUES(6,2,'born','2026-12-01T02:39:19Z','2026-12-01T02:39:19Z');
CREATE TABLE _receipts (
	token_id   INTEGER NOT NULL,
	key        TEXT NOT NULL,
	request    BLOB NOT NULL,
	answer     TEXT NOT NULL,
	created_at TEXT NOT NULL,
	PRIMARY KEY (token_id, key)
) STRICT;
INSERT INTO _receipts VALUES(1,'once',X'618722469451405e050e29793750c55986ea166f80889109649607f66af534c4','{"status":201,"data":{"table":"books","inserted":2,"rows":[{"id":1,"title":"Emma","pages":474,"price":7.5},{"id":2,"title":"Faust","pages":1,"price":null}]}}','2026-12-01T02:39:19Z');
CREATE TABLE IF NOT EXISTS "books" (
  "id" INTEGER PRIMARY KEY AUTOINCREMENT,
  "title" TEXT NOT NULL,
  "pages" INTEGER DEFAULT (1),
  "price" REAL
) STRICT;
INSERT INTO books VALUES(1,'Emma',474,7.5);
INSERT INTO books VALUES(2,'Faust',1,NULL);
CREATE TABLE IF NOT EXISTS "people" (
  "name" TEXT,
  "born" INTEGER
) STRICT;
INSERT INTO people VALUES('Jane',1775);
INSERT INTO people VALUES('Johann',1749);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('_tables',2);
INSERT INTO sqlite_sequence VALUES('_columns',6);
INSERT INTO sqlite_sequence VALUES('books',2);
CREATE INDEX _receipts_by_age ON _receipts (created_at);
COMMIT;
