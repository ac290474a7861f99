package rest

import (
	"net/http/httptest"
	"testing"
)

// The key of a record is a value, and an unknown path may hold anything.
func TestLoggedPathsHoldNoValues(t *testing.T) {
	t.Parallel()
	record := &Endpoint{Path: "/projects/{project}/records/{table}/{id}"}
	for _, test := range []struct {
		ep         *Endpoint
		path, want string
	}{
		{record, "/projects/crm/records/people/ada%40example.com", "/projects/crm/records/people/{id}"},
		{&Endpoint{Path: "/projects/{project}/cells/{table}/{id}/{column}"}, "/projects/crm/cells/people/1%2C2/photo", "/projects/crm/cells/people/{id}/photo"},
		{&Endpoint{Path: "/projects/{project}/tables"}, "/projects/crm/tables", "/projects/crm/tables"},
		{nil, "/projects/crm/secret/ada", "unmatched"},
	} {
		c := &call{ep: test.ep, r: httptest.NewRequest("GET", test.path, nil)}
		if got := c.loggedPath(); got != test.want {
			t.Errorf("%s: %s, want %s", test.path, got, test.want)
		}
	}
}
