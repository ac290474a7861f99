package server

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Proxy is a proxy, or a network of proxies, in front of the server, trusted to report
// the addresses of clients.
type Proxy struct{ prefix netip.Prefix }

// UnmarshalText reads an address, or a network such as 10.0.0.0/8.
func (p *Proxy) UnmarshalText(text []byte) error {
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		address, err := netip.ParseAddr(string(text))
		if err != nil {
			return fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", text)
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	p.prefix = prefix.Masked()
	return nil
}

// Proxies are all trusted proxies.
type Proxies []Proxy

func (p Proxies) trust(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	return slices.ContainsFunc(p, func(proxy Proxy) bool { return proxy.prefix.Contains(address) })
}

// ClientAddress returns the address that a request comes from: the connected peer or,
// if that is a trusted proxy, the last address in X-Forwarded-For that is not a trusted
// proxy. Anything before that is only the client's claim.
func (p Proxies) ClientAddress(r *http.Request) netip.Addr {
	client := peerOf(r)
	if len(p) == 0 {
		return client
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !p.trust(client) {
			break
		}
		address, ok := parseHop(hop)
		if !ok {
			break // the proxy does not report it, and stands in for its client
		}
		client = address
	}
	return client
}

func peerOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // not TCP
	}
	return peer.Addr().Unmap()
}

// parseHop reads an address as proxies write it; some add a port.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if address, err := netip.ParseAddrPort(text); err == nil {
		return address.Addr().Unmap(), true
	}
	address, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return address.Unmap(), err == nil
}

// Origin is the address at which users reach the server. The zero Origin is unknown:
// then only names of this machine are accepted.
type Origin struct{ scheme, host, port string }

// UnmarshalText reads an address such as https://data.example.com; an empty text means
// unknown.
func (o *Origin) UnmarshalText(text []byte) error {
	*o = Origin{}
	if len(text) == 0 {
		return nil
	}
	u, err := url.Parse(string(text))
	if err != nil {
		return err
	}
	port, known := standardPorts[u.Scheme]
	if !known || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be http or https with a host and at most a port, such as https://data.example.com")
	}
	*o = Origin{u.Scheme, canonicalHost(u.Hostname()), cmp.Or(u.Port(), port)}
	return nil
}

// standardPorts are the ports that an address may omit.
var standardPorts = map[string]string{"http": "80", "https": "443"}

// AllowsHost reports whether a request is meant for this server: its Host is the
// origin's or, if that is unknown, a name or address of this machine with the port that
// the server listens on. A page elsewhere that makes its own name resolve to this
// server has another Host. Anything that acts for users, or reveals something about
// them, is answered for no other Host.
func (o Origin) AllowsHost(r *http.Request) bool {
	host, port := splitHost(r.Host)
	if o != (Origin{}) {
		return host == o.host && cmp.Or(port, standardPorts[o.scheme]) == o.port
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	_, own, err := net.SplitHostPort(local.String())
	return err == nil && isLoopbackName(host) && cmp.Or(port, standardPorts["http"]) == own
}

// IsSecure reports whether people reach the server over TLS.
func (o Origin) IsSecure() bool { return o.scheme == "https" }

// String returns the address; "" if it is unknown.
func (o Origin) String() string {
	switch {
	case o == (Origin{}):
		return ""
	case standardPorts[o.scheme] == o.port:
		return o.scheme + "://" + bracketed(o.host)
	}
	return o.scheme + "://" + net.JoinHostPort(o.host, o.port)
}

// bracketed returns a host as it stands in addresses.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// splitHost splits the header Host. A port that cannot be parsed stays part of the
// name, which then matches nothing.
func splitHost(text string) (host, port string) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), ""
	}
	return canonicalHost(host), port
}

func canonicalHost(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap().String()
	}
	return host
}

// isLoopbackName reports whether a canonical host is this machine's own name.
func isLoopbackName(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}
