package export

import "strings"

// maxFileName is how long a name may be that is asked for, in bytes.
// Percent-encoded, it still fits into the 2 KB that S3 has for the headers of an
// object.
const maxFileName = 400

// Disposition returns the header Content-Disposition with which the artifact is
// saved. A program that takes the first name it finds gets the one that is safe
// on every system. The one that was asked for, with the extension of the
// format, stands beside it for those that know how to treat it (RFC 6266,
// section 4.3).
func (m *Manifest) Disposition() string {
	exact := m.DownloadName
	if asked := m.Options.FileName; asked != "" {
		f, _ := formatOf(m.Kind, m.Format)
		f = f.compressed(m.Options.Compression)
		exact = f.trimExt(asked) + "." + f.ext()
	}
	return ContentDisposition(m.DownloadName, exact)
}

// ContentDisposition returns the header with which a file is saved: name in
// ASCII and, where that differs, exact in UTF-8 as well (RFC 6266, RFC 8187).
func ContentDisposition(name, exact string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '/' {
			return '_'
		}
		return r
	}, name)
	value := `attachment; filename="` + plain + `"`
	if plain != exact {
		value += "; filename*=UTF-8''" + percentEncode(exact)
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
