package registry

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// auditMigration creates the audit log. Its triggers refuse what an append-only log
// never does; who can write the file can drop them, but not mend the chain of hashes
// without making all later ones anew.
const auditMigration = `
CREATE TABLE audit (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	at           TEXT NOT NULL,
	actor        TEXT NOT NULL,    -- the type: token, account_user, project_user, operator or nobody
	actor_id     INTEGER NOT NULL, -- 0 if the type has no ids
	actor_name   TEXT NOT NULL,
	action       TEXT NOT NULL,
	project_id   INTEGER NOT NULL, -- 0 for none
	project_slug TEXT NOT NULL,
	object       TEXT NOT NULL,
	note         TEXT NOT NULL,
	outcome      TEXT NOT NULL,    -- ok or the code of the problem
	times        INTEGER NOT NULL,
	address      TEXT NOT NULL,
	request_id   TEXT NOT NULL,
	hash         BLOB NOT NULL
) STRICT;
CREATE TABLE audit_anchor (
	id   INTEGER PRIMARY KEY, -- of the newest entry that was swept
	hash BLOB NOT NULL        -- its hash, from which the chain goes on
) STRICT;
INSERT INTO audit_anchor (id, hash) VALUES (0, zeroblob(32));
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN
	SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit WHEN OLD.id > (SELECT id FROM audit_anchor) BEGIN
	SELECT RAISE(ABORT, 'the audit log is append-only');
END;
`

// AuditEvent is something that somebody did or tried to do.
type AuditEvent struct {
	Actor     Author
	Action    string // the id of a route, or a word of ours such as "sign-in"
	Project   Project
	Object    string // what it was done to, such as "table contacts"
	Note      string // what else is worth knowing, such as the scopes of a new token
	Outcome   problem.Code
	Address   string
	RequestID string
}

// AuditEntry is a stored event.
type AuditEntry struct {
	ID          int64   `json:"id"`
	At          string  `json:"at" format:"date-time"`
	Actor       Author  `json:"actor"`
	Action      string  `json:"action" doc:"The operation id of a route, sign-in, sign-out, set-up, or a command of the operator."`
	ProjectSlug *string `json:"project_slug" doc:"As it was then; null for none."`
	Object      string  `json:"object" doc:"What it was done to; empty if the action says it all."`
	Note        string  `json:"note" doc:"What else there is to know, such as the scopes of a new token."`
	Outcome     string  `json:"outcome" doc:"ok, or the code of the error."`
	Times       int64   `json:"times" doc:"How often it happened: what is often repeated is counted by the hour."`
	Address     string  `json:"address"`
	RequestID   string  `json:"request_id"`
	Hash        string  `json:"hash" doc:"SHA-256 of the entry and the hash before it, in hexadecimal."`
}

// auditLink is what the hash of an entry covers besides the hash before it: its columns
// as SQLite's own JSON, so that anybody can recompute it.
const auditLink = "json_array(id, at, actor, actor_id, actor_name, action, project_id, project_slug, object, note, outcome, times, address, request_id)"

// linkHash returns the hash of an entry.
func linkHash(before []byte, link string) []byte {
	sum := sha256.Sum256([]byte(hex.EncodeToString(before) + "\n" + link))
	return sum[:]
}

// maxAuditText is how many bytes of a name are kept.
const maxAuditText = 200

// Audit stores an event. Events of a kind that have become many within the hour are
// counted instead, and stored with their number when the hour is over: nobody can make
// the log so long that what they did is swept from it.
func (r *Registry) Audit(ctx context.Context, e AuditEvent) error {
	if !r.bursts.admit(e, r.options.Now()) {
		return nil
	}
	return r.appendAudit(ctx, []countedEvent{{e, 1}})
}

// storeBursts stores what was counted in hours that are over or, at the end, in all.
func (r *Registry) storeBursts(all bool) error {
	counted := r.bursts.take(r.options.Now(), all)
	err := r.appendAudit(context.Background(), counted)
	if err != nil {
		r.bursts.giveBack(counted)
	}
	return err
}

// appendAudit appends entries to the chain.
func (r *Registry) appendAudit(ctx context.Context, events []countedEvent) error {
	if len(events) == 0 {
		return nil
	}
	at := projectdb.Timestamp(r.options.Now())
	return r.write(ctx, func(c *sqlite.Conn) error {
		for _, e := range events {
			if err := appendAuditEntry(c, at, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func appendAuditEntry(c *sqlite.Conn, at string, e countedEvent) error {
	last, before, err := chainEnd(c)
	if err != nil {
		return err
	}
	outcome := string(e.Outcome)
	if outcome == "" {
		outcome = "ok"
	}
	columns := []any{
		last + 1, at, e.Actor.Type, e.Actor.ID, auditText(e.Actor.Name), e.Action, e.Project.ID, e.Project.Slug,
		auditText(e.Object), auditText(e.Note), outcome, e.times, e.Address, e.RequestID,
	}
	const values = "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14"
	link := ""
	err = c.Query("SELECT json_array("+values+")", columns, func(s *sqlite.Stmt) error {
		link = s.Text(0)
		return nil
	})
	if err != nil {
		return err
	}
	return c.Exec("INSERT INTO audit VALUES ("+values+", ?15)", append(columns, linkHash(before, link))...)
}

// auditText shortens a name that a client chose.
func auditText(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxAuditText)], "")
}

// chainEnd returns the id and the hash of the newest entry, or of the anchor.
func chainEnd(c *sqlite.Conn) (id int64, hash []byte, err error) {
	const query = "SELECT id, hash FROM audit_anchor UNION ALL SELECT * FROM (SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1)"
	err = c.Query(query, nil, func(s *sqlite.Stmt) error {
		id, hash = s.Int(0), append([]byte(nil), s.Value(1).Bytes...)
		return nil
	})
	return id, hash, err
}

// AuditFilter selects entries; zero fields select all.
type AuditFilter struct {
	Project, Action, Actor, Outcome string
	From, To                        time.Time
	Before                          int64 // entries with smaller ids; 0 begins with the newest
	Limit                           int
}

// conditions returns the condition of the filter in SQL.
func (f AuditFilter) conditions() (where string, args []any) {
	where = "true"
	add := func(set bool, condition string, value any) {
		if set {
			where, args = where+" AND "+condition, append(args, value)
		}
	}
	add(f.Before > 0, "id < ?", f.Before)
	add(f.Project != "", "project_slug = ?", f.Project)
	add(f.Action != "", "action = ?", f.Action)
	add(f.Actor != "", "actor_name = ?", f.Actor)
	add(f.Outcome != "", "outcome = ?", f.Outcome)
	add(!f.From.IsZero(), "at >= ?", projectdb.Timestamp(f.From))
	add(!f.To.IsZero(), "at < ?", projectdb.Timestamp(f.To))
	return where, args
}

// AuditPage is a page of entries, newest first.
type AuditPage struct {
	Entries []AuditEntry
	Next    int64 // for Before of the next page; 0 at the end
}

// AuditEntries returns a page of the selected entries.
func (r *Registry) AuditEntries(ctx context.Context, f AuditFilter) (page AuditPage, err error) {
	const columns = "SELECT id, at, actor, actor_id, actor_name, action, project_slug, object, note, outcome, times, address, request_id, hash FROM audit WHERE "
	where, args := f.conditions()
	page.Entries = []AuditEntry{}
	err = r.read(ctx, func(c *sqlite.Conn) error {
		return c.Query(columns+where+" ORDER BY id DESC LIMIT ?", append(args, f.Limit+1), func(s *sqlite.Stmt) error {
			page.Entries = append(page.Entries, scanAuditEntry(s))
			return nil
		})
	})
	if len(page.Entries) > f.Limit {
		page.Entries = page.Entries[:f.Limit]
		page.Next = page.Entries[f.Limit-1].ID
	}
	return page, err
}

func scanAuditEntry(s *sqlite.Stmt) AuditEntry {
	e := AuditEntry{
		ID: s.Int(0), At: s.Text(1), Actor: Author{s.Text(2), s.Int(3), s.Text(4)}, Action: s.Text(5), Object: s.Text(7), Note: s.Text(8),
		Outcome: s.Text(9), Times: s.Int(10), Address: s.Text(11), RequestID: s.Text(12), Hash: hex.EncodeToString(s.Value(13).Bytes),
	}
	if slug := s.Text(6); slug != "" {
		e.ProjectSlug = &slug
	}
	return e
}

// AuditEntries is [Registry.AuditEntries] for an owner.
func (v *Visit) AuditEntries(ctx context.Context, f AuditFilter) (AuditPage, error) {
	if err := v.requireOwner(); err != nil {
		return AuditPage{}, err
	}
	return v.registry.AuditEntries(ctx, f)
}

// VerifyAudit is [Registry.VerifyAudit] for an owner.
func (v *Visit) VerifyAudit(ctx context.Context) (AuditChain, error) {
	if err := v.requireOwner(); err != nil {
		return AuditChain{}, err
	}
	return v.registry.VerifyAudit(ctx)
}

// AuditChain is the result of checking the audit log.
type AuditChain struct {
	Whole   bool   `json:"whole" doc:"Whether every entry is as it was written, and none is missing between the first and the last."`
	Entries int64  `json:"entries"`
	First   int64  `json:"first_id"`
	Last    int64  `json:"last_id"`
	Head    string `json:"head" doc:"The hash of the last entry. Whoever keeps it elsewhere can prove that nothing before it has changed."`
	Fault   string `json:"fault" doc:"What is wrong with the first entry that does not fit; empty if all do."`
}

// VerifyAudit recomputes the chain of the audit log.
func (r *Registry) VerifyAudit(ctx context.Context) (chain AuditChain, err error) {
	err = r.read(ctx, func(c *sqlite.Conn) error {
		chain, err = verifyChain(ctx, c)
		return err
	})
	return chain, err
}

// VerifyAuditFile is [Registry.VerifyAudit] for a file that a server may have open. A
// file of an earlier version has no audit log yet: ok is false.
func VerifyAuditFile(ctx context.Context, path string) (chain AuditChain, ok bool, err error) {
	c, err := sqlite.OpenFile(path)
	if err != nil {
		return chain, false, err
	}
	defer c.Close()
	tables, err := c.Int("SELECT count(*) FROM sqlite_schema WHERE name = 'audit'")
	if err != nil || tables == 0 {
		return chain, false, err
	}
	chain, err = verifyChain(ctx, c)
	return chain, true, err
}

func verifyChain(ctx context.Context, c *sqlite.Conn) (chain AuditChain, err error) {
	var before []byte
	err = c.Query("SELECT id, hash FROM audit_anchor", nil, func(s *sqlite.Stmt) error {
		chain.Last, before = s.Int(0), append([]byte(nil), s.Value(1).Bytes...)
		return nil
	})
	if err != nil {
		return chain, err
	}
	chain.First, chain.Whole = chain.Last+1, true
	err = c.Query("SELECT id, hash, "+auditLink+" FROM audit ORDER BY id", nil, func(s *sqlite.Stmt) error {
		id, hash := s.Int(0), s.Value(1).Bytes
		switch want := linkHash(before, s.Text(2)); {
		case !chain.Whole:
		case id != chain.Last+1:
			chain.Whole, chain.Fault = false, fmt.Sprintf("Entries %d to %d are missing.", chain.Last+1, id-1)
		case subtle.ConstantTimeCompare(want, hash) != 1:
			chain.Whole, chain.Fault = false, fmt.Sprintf("Entry %d is not as it was written.", id)
		}
		chain.Entries++
		chain.Last, before = id, append(before[:0], hash...)
		return ctx.Err()
	})
	if err != nil {
		return chain, err
	}
	chain.Head = hex.EncodeToString(before)
	// What was cut off at the end leaves no hole, but ids are never used twice.
	given, err := c.Int("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0)")
	if err == nil && chain.Whole && given > chain.Last {
		chain.Whole, chain.Fault = false, fmt.Sprintf("Entries %d to %d are missing.", chain.Last+1, given)
	}
	return chain, err
}

// How much of the audit log is kept. Most entries take less than 500 bytes, so this many
// fill less than 1 GiB.
const (
	auditLife       = 13 * 31 * 24 * time.Hour
	maxAuditEntries = 2_000_000
	sweptAtOnce     = 10_000 // in one transaction
)

// sweepAudit removes old entries. The hash of the last of them stays as the anchor of
// the chain.
func (r *Registry) sweepAudit(ctx context.Context) error {
	before := projectdb.Timestamp(r.options.Now().Add(-auditLife))
	for {
		swept := 0
		err := r.write(ctx, func(c *sqlite.Conn) (err error) {
			swept, err = sweepSome(c, before)
			return err
		})
		if err != nil || swept < sweptAtOnce {
			return err
		}
	}
}

// sweepSome removes entries from before the given time, and those that are too many.
func sweepSome(c *sqlite.Conn, before string) (swept int, err error) {
	const old = `SELECT coalesce(max(id), 0) FROM (SELECT id, at FROM audit ORDER BY id LIMIT ?3)
		WHERE at < ?1 OR id <= (SELECT max(id) FROM audit) - ?2`
	last, err := c.Int(old, before, maxAuditEntries, sweptAtOnce)
	if err != nil || last == 0 {
		return 0, err
	}
	// The anchor first: below it, entries may be deleted.
	if err := c.Exec("UPDATE audit_anchor SET (id, hash) = (SELECT id, hash FROM audit WHERE id = ?)", last); err != nil {
		return 0, err
	}
	err = c.Exec("DELETE FROM audit WHERE id <= ?", last)
	return int(c.Changes()), err
}
