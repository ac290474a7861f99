package ingest

import (
	"strings"
	"testing"
)

func TestDatesAreRewrittenWhenThatIsAskedForAndCertain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, values, want, note string }{
		{"points", "31.12.2026|1.2.2026", "2026-12-31|2026-02-01", "day came first"},
		{"day first", "31/12/2026|01/02/2026", "2026-12-31|2026-02-01", "day came first"},
		{"month first", "12/31/2026|01/02/2026", "2026-12-31|2026-01-02", "month came first"},
		{"year first", "2026/12/31|2026-1-2|2026-01-02", "2026-12-31|2026-01-02|2026-01-02", "are written as"},
		{"with times", "31.12.2026 9:05|1.2.2026 23:59:59.5", "2026-12-31 09:05:00|2026-02-01 23:59:59.5", "day came first"},
		{"nothing tells", "01/02/2026|03/04/2026", "01/02/2026|03/04/2026", "stay as they are"},
		{"both orders", "31/12/2026|12/31/2026", "31/12/2026|12/31/2026", ""},
		{"one is no date", "31.12.2026|soon", "31.12.2026|soon", ""},
		{"no such day", "31.02.2026", "31.02.2026", ""},
		{"two digits of a year", "31.12.26", "31.12.26", ""},
		{"versions", "1.2.3|2.0.1", "1.2.3|2.0.1", ""},
		{"hours that there are not", "31.12.2026 24:05", "31.12.2026 24:05", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t)
			content := "day\n" + strings.ReplaceAll(test.values, "|", "\n") + "\n\n"
			report, err := p.take(write(t, "x.csv", content), Options{Target: Target{Dates: true}})
			if err != nil {
				t.Fatal(err)
			}
			const query = "SELECT group_concat(day, '|') FROM x;\n"
			if got := shell(t, p.path, query); got != test.want+"\n" {
				t.Errorf("got %s", got)
			}
			said := strings.Join(texts(report.Notes), "\n")
			if !strings.Contains(said, test.note) || test.note == "" && said != "" {
				t.Errorf("notes: %s", said)
			}
			p = newProject(t)
			p.mustTake(t, write(t, "x.csv", content))
			if got := shell(t, p.path, query); got != test.values+"\n" {
				t.Errorf("without being asked: %s", got)
			}
			if _, err := p.take(write(t, "x.csv", content), Options{Target: Target{Mode: Replace, Dates: true}}); err != nil {
				t.Fatal(err)
			}
			if got := shell(t, p.path, query); got != test.want+"\n" {
				t.Errorf("into a table that is there: %s", got)
			}
		})
	}
}
