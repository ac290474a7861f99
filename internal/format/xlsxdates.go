package format

import (
	"math"
	"regexp"
	"strings"
	"time"
)

// numberFormat says which parts of a point in time a cell shows, possibly both.
type numberFormat uint8

const (
	plainNumber numberFormat = 0
	showsDate   numberFormat = 1
	showsTime   numberFormat = 2
)

// readStyles reads the number format of each style.
func (w *Workbook) readStyles(part string) error {
	var sheet struct {
		Formats []struct {
			ID   int    `xml:"numFmtId,attr"`
			Code string `xml:"formatCode,attr"`
		} `xml:"numFmts>numFmt"`
		Styles []struct {
			Format int `xml:"numFmtId,attr"`
		} `xml:"cellXfs>xf"`
	}
	if err := w.decode(part, &sheet); err != nil {
		return err
	}
	codes := map[int]numberFormat{}
	for _, f := range sheet.Formats {
		codes[f.ID] = formatOf(f.Code)
	}
	for _, style := range sheet.Styles {
		format, ok := codes[style.Format]
		if !ok {
			format = builtinFormat(style.Format)
		}
		w.styles = append(w.styles, format)
	}
	return nil
}

// builtinFormat returns the format of ids that have no code, including those of East
// Asian systems.
func builtinFormat(id int) numberFormat {
	switch {
	case id >= 14 && id <= 17, id >= 27 && id <= 31, id == 36, id >= 50 && id <= 54, id == 57, id == 58:
		return showsDate
	case id >= 18 && id <= 21, id >= 32 && id <= 35, id == 45, id == 47, id == 55, id == 56:
		return showsTime
	case id == 22:
		return showsDate | showsTime
	}
	return plainNumber
}

// formatOf parses a code such as [$-409]d/m/yy h:mm AM/PM;@. Durations, whose hours are
// in brackets, remain numbers.
func formatOf(code string) numberFormat {
	code, _, _ = strings.Cut(regexp.MustCompile(`"[^"]*"|\\.|_.|\*.`).ReplaceAllString(strings.ToLower(code), ""), ";")
	if regexp.MustCompile(`\[(h+|m+|s+)\]`).MatchString(code) {
		return plainNumber
	}
	code = regexp.MustCompile(`\[[^\]]*\]|general`).ReplaceAllString(code, "")
	format := plainNumber
	if strings.ContainsAny(code, "hs") {
		format |= showsTime
	}
	if strings.ContainsAny(code, "yd") || format == plainNumber && strings.Contains(code, "m") {
		format |= showsDate
	}
	return format
}

// date returns a number of days as text, unless Excel does not show it as a date.
func (f numberFormat) date(days float64, from1904 bool) (string, bool) {
	const most = 2958466 // 10000-01-01
	if days < 0 || days >= most {
		return "", false
	}
	epoch := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	switch {
	case from1904:
		epoch = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	case days < 60: // Excel has a February 29, 1900
		epoch = epoch.AddDate(0, 0, 1)
	}
	whole, rest := math.Modf(days)
	milliseconds := math.Round(rest * 24 * 60 * 60 * 1000)
	at := epoch.AddDate(0, 0, int(whole)).Add(time.Duration(milliseconds) * time.Millisecond)
	layout := ""
	if f&showsDate != 0 {
		layout = time.DateOnly
	}
	if f&showsTime != 0 || milliseconds != 0 {
		layout = strings.TrimSpace(layout + " 15:04:05.999")
	}
	if f == showsTime && whole != 0 {
		layout = "2006-01-02 15:04:05.999"
	}
	return at.Format(layout), true
}
