package server

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func proxies(t *testing.T, list ...string) (p Proxies) {
	t.Helper()
	for _, text := range list {
		var one Proxy
		if err := one.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		p = append(p, one)
	}
	return p
}

func TestClientAddress(t *testing.T) {
	trusted := proxies(t, "10.0.0.0/8", "192.0.2.1", "2001:db8::/32")
	for _, c := range []struct {
		name, peer string
		trusted    Proxies
		forwarded  []string
		want       string
	}{
		{"nobody is trusted", "10.0.0.1:5", nil, []string{"203.0.113.7"}, "10.0.0.1"},
		{"a stranger", "203.0.113.9:5", trusted, []string{"203.0.113.7"}, "203.0.113.9"},
		{"one proxy", "10.0.0.1:5", trusted, []string{"203.0.113.7"}, "203.0.113.7"},
		{"what the client claims", "10.0.0.1:5", trusted, []string{"127.0.0.1, 198.51.100.1, 203.0.113.7"}, "203.0.113.7"},
		{"two proxies", "10.0.0.1:5", trusted, []string{"198.51.100.1, 203.0.113.7, 192.0.2.1"}, "203.0.113.7"},
		{"two headers", "10.0.0.1:5", trusted, []string{"198.51.100.1, 203.0.113.7", "192.0.2.1"}, "203.0.113.7"},
		{"only proxies", "10.0.0.1:5", trusted, []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no header", "10.0.0.1:5", trusted, nil, "10.0.0.1"},
		{"no address", "10.0.0.1:5", trusted, []string{"203.0.113.7, unknown"}, "10.0.0.1"},
		{"a port", "10.0.0.1:5", trusted, []string{"203.0.113.7:4711"}, "203.0.113.7"},
		{"IPv6", "[2001:db8::1]:5", trusted, []string{"[2001:db9::7]:80"}, "2001:db9::7"},
		{"IPv6 in brackets", "[2001:db8::1]:5", trusted, []string{"[2001:db9::7]"}, "2001:db9::7"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5", trusted, []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		if got := c.trusted.ClientAddress(r); got.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func origin(t *testing.T, text string) (o Origin) {
	t.Helper()
	if err := o.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestAllowsHost(t *testing.T) {
	for public, hosts := range map[string]map[string]bool{
		"": {
			"localhost:8080": true, "LOCALHOST:8080": true, "127.0.0.1:8080": true, "127.8.8.8:8080": true, "[::1]:8080": true, "localhost.:8080": true,
			"localhost": false, "localhost:80": false, "[::1]": false, "evil.example": false, "evil.example:8080": false, "localhost.evil.example:8080": false,
			"127.0.0.1.evil.example:8080": false, "192.0.2.1:8080": false, "": false, ":8080": false, "localhost:8080:1": false,
		},
		"https://data.example.com": {
			"data.example.com": true, "Data.Example.Com": true, "data.example.com:443": true, "data.example.com.": true,
			"data.example.com:80": false, "data.example.com:8080": false, "localhost:8080": false, "127.0.0.1:8080": false, "evil.example": false, "a.data.example.com": false,
		},
		"http://10.0.0.5:9000/": {"10.0.0.5:9000": true, "10.0.0.5": false, "10.0.0.5:80": false, "evil.example:9000": false},
		"http://[2001:DB8::1]":  {"[2001:db8::1]": true, "[2001:db8:0::1]:80": true, "[::1]:8080": false},
	} {
		o := origin(t, public)
		for host, want := range hosts {
			r := httptest.NewRequest("GET", "/", nil)
			r.Host = host
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}))
			if got := o.AllowsHost(r); got != want {
				t.Errorf("public URL %q allows the Host %q: %t, want %t", public, host, got, want)
			}
		}
	}
	for _, text := range []string{"data.example.com", "ftp://x", "https://", "https://x/path", "https://u@x", "https://x?a", "https://x#a", "https://x:y"} {
		if new(Origin).UnmarshalText([]byte(text)) == nil {
			t.Errorf("%s is taken as an origin", text)
		}
	}
}
