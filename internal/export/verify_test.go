package export

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	f := started(t, small)
	for _, order := range []Request{
		{Kind: TableExport, Table: "contacts"}, {Kind: DatabaseExport}, {Kind: DatabaseExport, Format: "zip-parquet"}, {Kind: DatabaseExport, Format: "archive"},
	} {
		m, content := f.export(order)
		v, err := f.Verify(background, shop.ID, m.ID)
		if err != nil || !v.OK || v.SHA256 != *m.SHA256 || v.SizeBytes != *m.SizeBytes || v.Members != len(m.Members) {
			t.Errorf("%s: %+v, %v", order.Format, v, err)
		}
		manifest, err := json.Marshal(map[string]any{"ok": true, "data": map[string]any{"export": m}})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "file")
		for i := range content {
			if i%37 != 0 {
				continue
			}
			changed := append([]byte{}, content...)
			changed[i] ^= 1
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if v, err := verifyFile(path, manifest); err != nil || v.OK || len(v.Faults) == 0 {
				t.Fatalf("%s: byte %d changed: %+v, %v", order.Format, i, v, err)
			}
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if v, err := verifyFile(path, manifest); err != nil || !v.OK {
			t.Errorf("%s: %+v, %v", order.Format, v, err)
		}
		if err := os.WriteFile(path, content[:len(content)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if v, err := verifyFile(path, manifest); err != nil || v.OK {
			t.Errorf("%s cut short: %+v, %v", order.Format, v, err)
		}
		bare, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := verifyFile(path, bare); err != nil || v.OK {
			t.Errorf("%s, bare manifest: %+v, %v", order.Format, v, err)
		}
	}
	if _, err := f.Verify(background, shop.ID, "exp_none"); codeOf(err) != problem.CodeNotFound {
		t.Errorf("an unknown export gives %v", err)
	}
	for _, manifest := range []string{
		"{}", "x", `{"id":"a","sha256":"b","size_bytes":1,"format_version":2}`,
		`{"id":"a","sha256":"b","size_bytes":1,"options":{"table_options":{"t":{"dialect":{"delimiter":""}}}}}`,
	} {
		if _, err := ReadManifest([]byte(manifest)); err == nil || !strings.Contains(err.Error(), "read the manifest") {
			t.Errorf("manifest %s: %v", manifest, err)
		}
	}
}

// verifyFile compares a file with a manifest in JSON.
func verifyFile(path string, manifest []byte) (v Verification, err error) {
	m, err := ReadManifest(manifest)
	if err != nil {
		return v, err
	}
	return VerifyFile(background, path, m)
}

// TestArchiveSums has sha256sum check the archive's own checksums, and compares the
// description with the files.
func TestArchiveSums(t *testing.T) {
	unpack, check := testkit.Tool(t, "unzip"), testkit.Tool(t, "sha256sum")
	f := started(t, shapes)
	m, content := f.export(Request{Kind: DatabaseExport, Format: "archive"})
	folder := t.TempDir()
	path := filepath.Join(folder, "a.zip")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "", unpack, "-q", path, "-d", folder)
	t.Chdir(folder)
	run(t, "", check, "-c", "--strict", "SHA256SUMS")
	members := unzip(t, content)
	var names []string
	for _, member := range m.Members {
		names = append(names, member.Name)
	}
	if got, want := strings.Join(names, " "), "data.sqlite csv/country.csv csv/select.csv ndjson/country.ndjson ndjson/select.ndjson schema.json schema.sql datapackage.json README.txt SHA256SUMS"; got != want {
		t.Errorf("members are %s", got)
	}
	var described struct {
		Resources []struct {
			Name, Path, Hash string
			Bytes            int
			Schema           struct {
				Fields      []struct{ Name, Type string }
				PrimaryKey  []string
				ForeignKeys []struct {
					Fields    []string
					Reference struct{ Resource string }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(members["datapackage.json"]), &described); err != nil {
		t.Fatal(err)
	}
	for _, resource := range described.Resources {
		content, ok := members[resource.Path]
		header, _, _ := strings.Cut(content, "\n")
		var fields []string
		for _, field := range resource.Schema.Fields {
			fields = append(fields, field.Name)
		}
		if !ok || len(content) != resource.Bytes || strings.Join(fields, ",") != header {
			t.Errorf("resource %+v, header %s", resource, header)
		}
	}
	if keys := described.Resources[1].Schema.ForeignKeys; len(keys) != 1 || keys[0].Reference.Resource != "country" {
		t.Errorf("foreign keys are %+v", keys)
	}
}
