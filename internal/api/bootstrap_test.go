package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/examples"
	"github.com/zangtable/zangtable/internal/problem"
)

func TestDecodeBootstrap(t *testing.T) {
	var faults problem.Faults
	order, err := DecodeBootstrap(&faults, examples.CRM)
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Slug   string `json:"project_slug"`
		Tables []struct {
			Name    string            `json:"table_name"`
			Columns []json.RawMessage `json:"columns"`
			Seed    []json.RawMessage `json:"seed"`
		}
	}
	if err := json.Unmarshal(examples.CRM, &want); err != nil {
		t.Fatal(err)
	}
	if order.Slug != want.Slug || order.User != nil || len(order.Blueprint.Tables) != len(want.Tables) {
		t.Errorf("%+v, %d tables", order, len(order.Blueprint.Tables))
	}
	for i, table := range want.Tables {
		got := order.Blueprint.Tables[i]
		if got.Name != table.Name || len(got.Columns) != len(table.Columns) || len(got.Seed) != len(table.Seed) {
			t.Errorf("%s has %d columns and %d rows", got.Name, len(got.Columns), len(got.Seed))
		}
	}
}

func TestDecodeBootstrapFaults(t *testing.T) {
	const user = `"initial_project_user":{"username":"ada","password":"secret"}`
	if order, err := DecodeBootstrap(new(problem.Faults), []byte(`{"project_slug":"a","project_name":"A",`+user+`}`)); err != nil || order.User == nil || order.User.Username != "ada" {
		t.Errorf("%+v %v", order.User, err)
	}
	for file, want := range map[string]string{
		``:                                    "invalid_json",
		`{"project_slug":"a"`:                 "invalid_json",
		`{"project_slug":"a"} {}`:             "invalid_json",
		`{"a":1,"a":2}`:                       "invalid_json",
		`[]`:                                  "validation_failed body",
		`{"project_slug":1,"tabels":[]}`:      "validation_failed project_slug tabels project_name",
		`{"initial_project_user":{"name":1}}`: "validation_failed initial_project_user.name initial_project_user.username initial_project_user.password project_slug project_name",
	} {
		var faults problem.Faults
		_, err := DecodeBootstrap(&faults, []byte(file))
		if err == nil {
			err = faults.Err()
		}
		p := problem.From(err)
		got := string(p.Code)
		for _, d := range p.Details {
			got += " " + d.Field
		}
		if got != want {
			t.Errorf("%s: %s, want %s (%v)", file, got, want, err)
		}
		if strings.Contains(p.Message, "jsontext") {
			t.Errorf("%s: %s", file, p.Message)
		}
	}
}
