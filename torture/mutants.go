//go:build linux

package main

// mutants are the deliberate faults. When a source file changes, update the edit here
// so that it still breaks the same promise.
var mutants = []mutant{
	{
		name: "stale statement", part: "schemas", notice: `shows the value of|has no column|shows memory|columns, want`,
		edits: []edit{{
			file: "internal/sqlite/stmt.go",
			old: `	if c.guarded {
		s, err := c.compile(query)`,
			new: `	if c.guarded && query == "" {
		s, err := c.compile(query)`,
		}},
	},
	{
		name: "acknowledge before commit", part: "power", notice: `acknowledged: true, (is there 0|0 of)`,
		edits: []edit{{
			file: "internal/sqlite/group.go",
			old: `		return nil
	})
	if err == nil {
		db.committed(len(members))
	}
	db.group.settle(members, err)`,
			new: `		db.group.settle(members, nil)
		members = nil
		return nil
	})
	if err == nil {
		db.committed(len(members))
	}
	db.group.settle(members, err)`,
		}},
	},
	{
		name: "publish before fsync", part: "power", notice: `an artifact got its name before it was synced`,
		edits: []edit{{
			file: "internal/disk/disk.go",
			old: `errors.Join(f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("sync %s`,
			new: `errors.Join(f.Close()); err != nil {
		return errors.Join(fmt.Errorf("close %s`,
		}},
	},
	{
		name: "authorizer off", part: "sql", notice: `^forbidden, |may not be read`,
		edits: []edit{{
			file: "internal/sqlite/guard.go",
			old:  `return zs.AuthResultDeny`,
			new:  `return zs.AuthResultOK`,
		}},
	},
	{
		name: "manifest before artifact", part: "power", notice: `export .* is (ready with|ready, and|not_found)`,
		edits: []edit{{
			file: "internal/export/job.go",
			old: `	if err := e.chooseStore(j.ctx, j.record); err != nil {
`,
			new: `	earlySize, earlySHA, _, _ := a.Sums()
	earlySum := hex.EncodeToString(earlySHA)
	j.record.manifest.SizeBytes, j.record.manifest.SHA256 = &earlySize, &earlySum
	j.record.complete(e.now(), nil)
	if _, err := e.jobs.saveOutcome(context.Background(), j.record); err != nil {
		return err
	}
	if err := e.chooseStore(j.ctx, j.record); err != nil {
`,
		}, {
			file: "internal/export/worker.go",
			old:  `	if entered && ready {`,
			new:  `	if entered || ready {`,
		}},
	},
}
