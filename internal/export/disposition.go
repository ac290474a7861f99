package export

import "strings"

// ContentDisposition returns the header with which a file is saved under name:
// in ASCII and, where that differs from the name, in UTF-8 as well (RFC 6266, RFC
// 8187).
func ContentDisposition(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '/' {
			return '_'
		}
		return r
	}, name)
	value := `attachment; filename="` + plain + `"`
	if plain != name {
		value += "; filename*=UTF-8''" + percentEncode(name)
	}
	return value
}

// percentEncode keeps only the characters that RFC 8187 calls attr-char.
func percentEncode(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var out strings.Builder
	for _, b := range []byte(s) {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', strings.IndexByte("!#$&+-.^_`|~", b) >= 0:
			out.WriteByte(b)
		default:
			out.WriteString("%" + string(hexDigits[b>>4]) + string(hexDigits[b&15]))
		}
	}
	return out.String()
}
