package registry

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/ids"
)

func TestPowerMay(t *testing.T) {
	tests := []struct {
		power power
		scope Scope
		want  bool
	}{
		{power{}, SchemaRead, false},
		{power{ProjectAdmin}, ProjectAdmin, true},
		{power{ProjectAdmin}, TokensManage, true},
		{power{ProjectAdmin}, RecordsWrite.On(3), true},
		{power{TokensManage}, ProjectAdmin, false},
		{power{RecordsRead}, RecordsRead, true},
		{power{RecordsRead}, RecordsRead.On(3), true},
		{power{RecordsRead}, RecordsWrite, false},
		{power{RecordsRead}, SchemaRead, true},
		{power{RecordsRead}, SchemaRead.On(3), true},
		{power{RecordsRead}, SchemaWrite, false},
		{power{RecordsRead}, QueryRead, false},
		{power{RecordsRead.On(3)}, RecordsRead.On(3), true},
		{power{RecordsRead.On(3)}, RecordsRead.On(33), false},
		{power{RecordsRead.On(3)}, RecordsRead.On(4), false},
		{power{RecordsRead.On(3)}, RecordsRead, false},
		{power{RecordsRead.On(3)}, SchemaRead.On(3), true},
		{power{RecordsRead.On(3)}, SchemaRead.On(4), false},
		{power{RecordsRead.On(3)}, SchemaRead, false},
		{power{RecordsWrite}, RecordsRead, false},
		{power{RecordsWrite.On(3)}, SchemaRead.On(3), false},
		{power{SchemaRead}, SchemaRead.On(3), true},
		{power{SchemaRead}, RecordsRead.On(3), false},
		{power{ExportsRead.On(3)}, ExportsRead.On(3), true},
		{power{ExportsRead.On(3)}, ExportsCreate.On(3), false},
		{power{"future:thing"}, ProjectAdmin, false},
	}
	for _, test := range tests {
		if got := test.power.may(test.scope); got != test.want {
			t.Errorf("%v may %s: %v", test.power, test.scope, got)
		}
	}
	for _, test := range tests {
		if test.want && !test.power.maySome(test.scope) {
			t.Errorf("%v may %s, but not some", test.power, test.scope)
		}
	}
	if p := (power{RecordsRead.On(3)}); !p.maySome(RecordsRead) || !p.maySome(SchemaRead) || p.maySome(RecordsWrite) || p.maySome(ProjectAdmin) {
		t.Error("maySome is wrong for one table")
	}
}

func anyScope() *rapid.Generator[Scope] {
	return rapid.Custom(func(t *rapid.T) Scope {
		s := rapid.SampledFrom(Scopes[:]).Draw(t, "scope")
		if s.perTable() && rapid.Bool().Draw(t, "one table") {
			return s.On(ids.Table(rapid.Int64Range(1, 3).Draw(t, "table")))
		}
		return s
	})
}

// anyPower generates powers, mostly without project:admin, as these are the
// interesting ones.
func anyPower() *rapid.Generator[power] {
	return rapid.Map(rapid.SliceOfN(anyScope(), 0, 5), func(s []Scope) power {
		if len(s) > 2 {
			s = slices.DeleteFunc(s, func(s Scope) bool { return s == ProjectAdmin })
		}
		return power(s)
	})
}

// everyRequirement returns everything that can be required of a power with three
// tables.
func everyRequirement() (all []Scope) {
	for _, s := range Scopes {
		all = append(all, s)
		if s.perTable() || s == SchemaRead {
			all = append(all, s.On(1), s.On(2), s.On(3))
		}
	}
	return all
}

func TestPowersAreOrdered(t *testing.T) {
	all := everyRequirement()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyPower().Draw(t, "a"), anyPower().Draw(t, "b"), anyPower().Draw(t, "c")
		if !a.covers(a) || !a.covers(power{}) || !fullPower().covers(a) {
			t.Fatal("a power must cover itself and nothing, and be covered by all")
		}
		if a.covers(b) && b.covers(c) && !a.covers(c) {
			t.Fatal("covering is not transitive")
		}
		if a.covers(fullPower()) != a.may(ProjectAdmin) {
			t.Fatal("only full power covers full power")
		}
		// A power covers another exactly if it can do everything that the other can.
		for _, s := range all {
			if a.covers(b) && b.may(s) && !a.may(s) {
				t.Fatalf("%v covers %v, but may not %s", a, b, s)
			}
		}
		both := a.cappedBy(b)
		for _, s := range all {
			if both.may(s) && !(a.may(s) && b.may(s)) {
				t.Fatalf("%v capped by %v is %v and may %s", a, b, both, s)
			}
		}
		for _, s := range both {
			if !a.may(s) || !b.may(s) {
				t.Fatalf("%v capped by %v has %s", a, b, s)
			}
		}
		for _, s := range Scopes {
			if a.may(s) && b.may(s) && !both.may(s) {
				t.Fatalf("%v capped by %v is %v and lost %s", a, b, both, s)
			}
		}
		if !slices.Equal(parsePower(a.text()), a) {
			t.Fatalf("%v is stored as %q", a, a.text())
		}
	})
}

func TestRoles(t *testing.T) {
	if !Admin.power().covers(Editor.power()) || !Editor.power().covers(Viewer.power()) || Viewer.power().covers(Editor.power()) || Editor.power().covers(Admin.power()) {
		t.Error("the roles are not in order")
	}
	for role, scopes := range map[Role][]Scope{
		Viewer: {SchemaRead, RecordsRead, QueryRead, ExportsRead},
		Editor: {SchemaRead, RecordsRead, QueryRead, ExportsRead, RecordsWrite, ExportsCreate, JournalRead},
		Admin:  Scopes[:],
		"king": {},
	} {
		for _, s := range Scopes {
			if got := role.power().may(s); got != slices.Contains(scopes, s) {
				t.Errorf("%s may %s: %v", role, s, got)
			}
		}
	}
}
