package registry

import (
	"slices"
	"testing"
)

func TestOriginsAreAsBrowsersSendThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"*": "*", "https://app.example.com": "https://app.example.com", "HTTPS://App.Example.COM:443": "https://app.example.com",
		"http://localhost:3000": "http://localhost:3000", "http://h:80": "http://h", "http://h:443": "http://h:443", "http://[::1]:5173": "http://[::1]:5173",
		"chrome-extension://abcdef": "chrome-extension://abcdef", "https://xn--bcher-kva.example": "https://xn--bcher-kva.example",
	} {
		if got, ok := parseOrigin(text); !ok || got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{
		"", "null", "app.example.com", "https://", "//app.example", "https://app.example/", "https://app.example/a", "https://a?b", "https://a#", "https://u@a",
		"https://*.example.com", "https://bücher.example", "https://a b", "https://a,https://b", "https://a\nb", "mailto:a@b", "https://a%41",
	} {
		if got, ok := parseOrigin(text); ok {
			t.Errorf("%q is taken as %q", text, got)
		}
	}
}

func TestOriginsOfAFlag(t *testing.T) {
	t.Parallel()
	var o Origins
	if err := o.UnmarshalText([]byte("https://a.example, http://b:3000,")); err != nil || !slices.Equal(o, Origins{"https://a.example", "http://b:3000"}) {
		t.Errorf("%v, %v", o, err)
	}
	if err := o.UnmarshalText([]byte("a.example")); err == nil {
		t.Error("taken")
	}
	if err := o.UnmarshalText(nil); err != nil || len(o) != 0 {
		t.Errorf("%v, %v", o, err)
	}
}
