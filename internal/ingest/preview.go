package ingest

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// preview reads every table and reports what load would do.
func (t *tableLoad) preview(ctx context.Context, db *projectdb.DB, preview *Preview) error {
	if err := t.profile(ctx, true); err != nil {
		return err
	}
	var tables []projectdb.Table
	if db != nil {
		var err error
		if tables, err = db.Tables(ctx); err != nil {
			return err
		}
	}
	mapped, err := t.place(ctx, tables)
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, table := range tables {
		taken[sqlite.Fold(table.Name)] = true
	}
	if err := nameTables(mapped, taken); err != nil {
		return err
	}
	preview.Notes = append(preview.Notes, t.notes...)
	for i, p := range mapped {
		if err := t.tryRows(ctx, p); err != nil {
			return err
		}
		sv := t.profiles[i]
		p.noteNumbers()
		preview.Dialect, preview.Notes = p.dialect, append(preview.Notes, p.notes...)
		preview.Tables = append(preview.Tables, TablePreview{
			Source: p.Name, Name: p.table.Name, Mode: p.target.Mode, Rows: sv.rows, Columns: p.columns(), Sample: p.sample(sv),
		})
	}
	if err := t.tryTables(ctx, db, mapped, &preview.Notes); err != nil {
		return err
	}
	preview.Rejects, preview.RejectedRows = t.rejects.list, t.rejects.rows
	return t.unchanged()
}

// trialTime is how long a preview may block other writers.
const trialTime = time.Second

// tryTables inserts the rows into tables that exist or that get a key, as a load does,
// and rolls everything back: this finds the faults that only the table can reveal. It
// stops after trialTime and notes how far it got.
func (t *tableLoad) tryTables(ctx context.Context, db *projectdb.DB, mapped []*columnMapping, said *[]source.Note) error {
	trial := &tableLoad{options: t.options, size: t.size, unchanged: t.unchanged, trial: true}
	for i, p := range mapped {
		if !p.makes() || len(p.table.PrimaryKey) > 0 {
			trial.mappings, trial.profiles = append(trial.mappings, p.tableMapping), append(trial.profiles, t.profiles[i])
		}
	}
	if len(trial.mappings) == 0 || db == nil {
		return nil
	}
	trial.options.OnError = Skip
	bounded, stop := context.WithCancel(ctx)
	defer stop()
	err := db.Load(bounded, func(l *projectdb.Loader) error {
		defer time.AfterFunc(trialTime, stop).Stop()
		if err := trial.run(bounded, l, &Report{}); err != nil {
			return err
		}
		if t.options.OnError != Skip && trial.rejects.rows+t.rejects.rows > 0 {
			return errTrial // other rows may refer to the refused ones
		}
		return cmp.Or(l.CheckKeys(), errTrial)
	})
	t.rejects.mergeByLine(trial.rejects, t.mappings)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case bounded.Err() != nil:
		(*source.Notes)(said).Add("file", "Only its first %d rows were tried in the table, so as not to block other writes: whether the rest conflict with existing rows will show when they are imported.", trial.tried)
		return nil
	case errors.Is(err, errTrial):
		return nil
	}
	return err
}

// tryRows converts every row to find its faults.
func (t *tableLoad) tryRows(ctx context.Context, p *columnMapping) error {
	told := t.progress(p.Name, t.size/2)
	rows := int64(0)
	for part, err := range p.convert(ctx) {
		if err != nil {
			return err
		}
		t.rejects.merge(part.rejects)
		p.hear(part)
		rows += int64(part.batch.Rows)
		told(rows, part.bytes)
	}
	return nil
}

// sample returns the first rows as they would be stored, as JSON values. Values that
// cannot be stored are shown as they are.
func (p *columnMapping) sample(sv *profile) [][]any {
	c := p.converter()
	list := make([][]any, 0, len(sv.sample))
	for _, row := range sv.sample {
		shown := make([]any, len(p.from))
		for k, i := range p.from {
			v, _ := c.stored(k, row[i])
			shown[k] = jsonValue(v)
		}
		list = append(list, shown)
	}
	return list
}

// jsonValue returns a value in the form in which the API writes it.
func jsonValue(v sqlite.Value) any {
	const most = 1000 // bytes of a value that are shown
	if len(v.Bytes) > most {
		v.Bytes = v.Bytes[:most]
	}
	var b sqlite.Batch
	b.Reset(1)
	b.Append(v)
	switch v.Kind {
	case sqlite.Null:
		return nil
	case sqlite.Blob:
		return base64.StdEncoding.EncodeToString(v.Bytes)
	}
	return jsontext.Value(format.AppendValue(nil, &b, b.Row(0)[0], format.JSONOptions{}))
}
