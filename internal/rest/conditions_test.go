package rest

import (
	"slices"
	"testing"
)

func TestReadETags(t *testing.T) {
	t.Parallel()
	for header, want := range map[string][]string{
		`"a"`: {`"a"`}, ` "a" , W/"b,c" ,""`: {`"a"`, `W/"b,c"`, `""`}, `"a""b"`: nil, `a`: nil, `"a`: nil, `"a",`: nil, `,"a"`: nil, `"a" b`: nil, `W/a`: nil, `w/"a"`: nil, `*,"a"`: nil, `"`: nil,
	} {
		var got ETags
		err := got.UnmarshalText([]byte(header))
		if (err == nil) != (want != nil) || err == nil && !slices.Equal(got.List, want) || got.Any {
			t.Errorf("%s: %q, %v", header, got.List, err)
		}
	}
	var star ETags
	if err := star.UnmarshalText([]byte(" * ")); err != nil || !star.Any || !star.Has(`"x"`) {
		t.Errorf("%+v %v", star, err)
	}
}
