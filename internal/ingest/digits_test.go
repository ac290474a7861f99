package ingest

import (
	"testing"
)

// Whole numbers keep their digits, however a file writes them, or the row is rejected.
func TestDigitsSurvive(t *testing.T) {
	t.Parallel()
	const table = "CREATE TABLE n (id INTEGER PRIMARY KEY, i INTEGER, t TEXT);"
	for name, content := range map[string]string{
		"n.csv":    "id,i,t\n1,9007199254740993.0,a\n2,123456789012345679e1,b\n3,36028797018963970.0,c\n4,9223372036854775808.0,d\n5,1.5,e\n",
		"n.ndjson": `{"id":1,"i":9007199254740993.0,"t":"a"}` + "\n" + `{"id":2,"i":123456789012345679e1,"t":"b"}` + "\n" + `{"id":3,"i":"36028797018963970.0","t":"c"}` + "\n" + `{"id":4,"i":9223372036854775808.0,"t":"d"}` + "\n" + `{"id":5,"i":36028797018963970.0,"t":"e"}` + "\n",
	} {
		p := newProject(t)
		p.mustTake(t, database(t, table))
		report, err := p.take(write(t, name, content), Options{Target: Target{Mode: Append, Table: "n"}, OnError: Skip})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := shell(t, p.path, "SELECT id, i, t FROM n ORDER BY id;\n"), "1|9007199254740993|a\n2|1234567890123456790|b\n3|36028797018963970|c\n"; got != want || report.RejectedRows != 2 {
			t.Errorf("%s: %s%d rows rejected: %+v", name, got, report.RejectedRows, report.Rejects)
		}
		// In a new table, such a column keeps the texts.
		p = newProject(t)
		p.mustTake(t, write(t, name, content))
		if got, want := shell(t, p.path, "SELECT i FROM n WHERE id < 3 ORDER BY id;\n"), "9007199254740993.0\n123456789012345679e1\n"; got != want {
			t.Errorf("%s in a new table: %s", name, got)
		}
	}
}
