package format

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// findHeader decides which of the sampled rows name the columns, and returns the names.
// Everything above the header is left out, with a note.
func (l *sheetLayout) findHeader(s sheetSource, d ReadDialect, rows []sampledRow) ([]string, error) {
	told := d.HeaderRow > 0 || d.SkipRows != 0 || d.Range != ""
	switch {
	case d.Header == WithoutHeader:
		l.from = l.area.top
		return nil, nil
	case d.HeaderRow > 0 && rows[0].number != d.HeaderRow:
		return nil, &FileError{Reason: fmt.Sprintf("Row %d of the sheet is empty, so it names no columns: set header_row to the row with the names", d.HeaderRow)}
	}
	at, over := 0, -1
	if !told {
		at, over = guessHeader(rows)
		if over < 0 && rows[at].hasGaps(rows) {
			survey, err := s.survey()
			if err != nil {
				return nil, err
			}
			if at+1 < len(rows) && rows[at].spans(survey.merged) && rows[at+1].isText() && rows[at+1].number == rows[at].number+1 {
				at, over = at+1, at
			}
			return l.header(rows, at, over, d.SkipBelow, survey.merged), nil
		}
		if over >= 0 {
			survey, err := s.survey()
			if err != nil {
				return nil, err
			}
			return l.header(rows, at, over, d.SkipBelow, survey.merged), nil
		}
	}
	return l.header(rows, at, over, d.SkipBelow, nil), nil
}

// header returns the names that row at holds, joined with those in row over unless it is
// negative.
func (l *sheetLayout) header(rows []sampledRow, at, over, below int, merged []sheetArea) []string {
	l.skip, l.from = at+1, rows[at].number+below+1
	first := at
	if over >= 0 {
		first = over
		l.note("The names of the columns were joined from the rows %d and %d. Set header_row to %[2]d to take those of the second alone.", rows[over].number, rows[at].number)
	}
	l.noteTitles(rows[:first])
	names := make([]string, rows[at].last)
	some := false
	for j := range names {
		v := rows[at].at(j)
		names[j], some = cellText(v), some || v.Kind == sqlite.Text && !isEmpty(v)
	}
	if over >= 0 {
		return joinNames(&rows[over], &rows[at], merged)
	}
	if !some && rows[at].filled > 0 {
		l.note("The names of the columns in row %d are numbers. Set header to false if the row is data.", rows[at].number)
	}
	return names
}

// noteTitles notes the rows above the header.
func (l *sheetLayout) noteTitles(rows []sampledRow) {
	for i := range rows {
		if rows[i].filled == 0 {
			continue
		}
		var texts []string
		for _, v := range rows[i].values {
			if !isEmpty(v) {
				texts = append(texts, cellText(v))
			}
		}
		l.note("Row %d above the header was left out: %.80q. Set header_row to %[1]d if it names the columns, or skip_rows to 0 to read from the first row.", rows[i].number, strings.Join(texts, " "))
	}
}

// guessHeader returns the index of the row that names the columns, and that of a row
// above with names for several of them, or -1. Titles have few cells and names many, so
// the first row that is at least half as wide as most rows is the header, unless a row
// just below has a text for every column and numbers below them.
func guessHeader(rows []sampledRow) (at, over int) {
	first := slices.IndexFunc(rows, func(r sampledRow) bool { return r.filled > 0 })
	if first < 0 {
		return 0, -1
	}
	lead, core := usualWidth(rows)
	needed := min(core-lead, max(2, (core-lead+1)/2))
	at = first + slices.IndexFunc(rows[first:min(len(rows), first+titleRows)], func(r sampledRow) bool { return r.filled >= needed })
	if at < first || at > first && !rows[at].isNames() {
		return first, -1
	}
	if rows[at].filled >= core-lead {
		return at, -1
	}
	for i := at + 1; i < min(at+3, len(rows)); i++ {
		if rows[i].filled < core-lead || !rows[i].isText() || !standsOut(rows[i:]) {
			continue
		}
		if i == at+1 && rows[i].number == rows[at].number+1 {
			return i, at
		}
		return i, -1
	}
	return at, -1
}

// usualWidth returns where the first column with values is and one past the column where
// most rows end.
func usualWidth(rows []sampledRow) (lead, core int) {
	ends := map[int]int{}
	lead = -1
	for i := range rows {
		if r := &rows[i]; r.filled > 0 {
			ends[r.last]++
			if lead < 0 || r.first < lead {
				lead = r.first
			}
		}
	}
	for end, n := range ends {
		if n > ends[core] || n == ends[core] && end > core {
			core = end
		}
	}
	return max(lead, 0), core
}

// hasGaps reports whether a row lacks some values between the first and the last column
// that most rows have.
func (s *sampledRow) hasGaps(rows []sampledRow) bool {
	lead, core := usualWidth(rows)
	return s.filled < core-lead
}

// isText reports whether all values of a row are texts.
func (s *sampledRow) isText() bool {
	return s.filled > 0 && !slices.ContainsFunc(s.values, func(v sqlite.Value) bool { return v.Kind != sqlite.Text && v.Kind != sqlite.Null })
}

// isNames reports whether most values of a row are texts, with years among them at most.
func (s *sampledRow) isNames() bool {
	texts, others := 0, 0
	for _, v := range s.values {
		switch {
		case isEmpty(v):
		case v.Kind == sqlite.Text:
			texts++
		case v.Kind != sqlite.Integer || v.Int < 1800 || v.Int > 2200:
			others++
		}
	}
	return texts > others && texts > 0
}

// standsOut reports whether there are only numbers below a text of the first row.
func standsOut(rows []sampledRow) bool {
	for j := range rows[0].values {
		numbers, texts := 0, 0
		for i := range rows[1:] {
			switch v := rows[1+i].at(j); v.Kind {
			case sqlite.Integer, sqlite.Real:
				numbers++
			case sqlite.Text:
				texts++
			}
		}
		if numbers > 0 && texts == 0 && rows[0].values[j].Kind == sqlite.Text {
			return true
		}
	}
	return false
}

// spans reports whether a cell of the row is merged over several columns, but not over
// all of them.
func (s *sampledRow) spans(merged []sheetArea) bool {
	return slices.ContainsFunc(merged, func(a sheetArea) bool {
		return a.top == s.number && a.bottom == a.top && a.right > a.left && s.filled > 1
	})
}

// joinNames joins the names of two rows. A cell above counts for all columns that it is
// merged over. Without merged cells it counts up to the next one, if the names below
// would not be unique otherwise.
func joinNames(above, below *sampledRow, merged []sheetArea) []string {
	names := make([]string, max(above.last, below.last))
	seen := map[string]bool{}
	repeated := false
	for _, v := range below.values {
		if name := cellText(v); name != "" {
			repeated, seen[name] = repeated || seen[name], true
		}
	}
	carry := repeated && !above.spans(merged)
	last := ""
	for j := range names {
		upper, lower := cellText(above.at(j)), cellText(below.at(j))
		for _, a := range merged {
			if a.top == above.number && a.left <= j && j <= a.right {
				upper = cellText(above.at(a.left))
			}
		}
		if upper == "" && carry {
			upper = last
		}
		last = upper
		names[j] = strings.TrimSpace(upper + " " + lower)
	}
	return names
}

func cellText(v sqlite.Value) string {
	switch v.Kind {
	case sqlite.Integer:
		return strconv.FormatInt(v.Int, 10)
	case sqlite.Real:
		return string(appendReal(nil, v.Float))
	}
	return string(v.Bytes)
}
