package ingest

import (
	"math/bits"
	"regexp"
	"time"

	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// dateOrders is a set of orders that the parts of a date may be in.
type dateOrders uint8

// The single orders.
const (
	yearFirst dateOrders = 1 << iota
	dayFirst
	monthFirst
)

var dateForm = regexp.MustCompile(`^(\d{1,4})([-./])(\d{1,2})([-./])(\d{1,4})(?:[T ](\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?))?$`)

// readDate returns the orders in which text is a date and, if there is just one, the
// date in ISO 8601. Years have four digits; in dates with dots the day comes first.
func readDate(text []byte, among dateOrders) (orders dateOrders, iso string) {
	const longest = 40
	if len(text) > longest {
		return 0, ""
	}
	m := dateForm.FindSubmatch(text)
	if m == nil || string(m[2]) != string(m[4]) {
		return 0, ""
	}
	a, b, c := string(m[1]), string(m[3]), string(m[5])
	for _, try := range []struct {
		order            dateOrders
		year, month, day string
		apt              bool
	}{
		{yearFirst, a, b, c, string(m[2]) != "."},
		{dayFirst, c, b, a, true},
		{monthFirst, c, a, b, string(m[2]) != "."},
	} {
		if !try.apt || among&try.order == 0 || len(try.year) != 4 {
			continue
		}
		day, err := time.Parse("2006-1-2", try.year+"-"+try.month+"-"+try.day)
		if err != nil {
			continue
		}
		clock, ok := readClock(string(m[6]))
		if !ok {
			continue
		}
		orders, iso = orders|try.order, day.Format(time.DateOnly)+clock
	}
	return orders, iso
}

// readClock returns the time of day that follows a date.
func readClock(text string) (clock string, ok bool) {
	if text == "" {
		return "", true
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.Format(" 15:04:05.999999999"), true
		}
	}
	return "", false
}

// dates tracks whether all texts of a column are dates.
type dates struct {
	asked, some bool
	orders      dateOrders // orders in which all texts so far are dates
}

func (d *dates) see(v sqlite.Value) {
	if !d.asked || v.Kind != sqlite.Text {
		return
	}
	if !d.some {
		d.some, d.orders = true, yearFirst|dayFirst|monthFirst
	}
	if d.orders != 0 {
		d.orders, _ = readDate(v.Bytes, d.orders)
	}
}

// with merges what is known about two sets of texts.
func (d dates) with(other dates) dates {
	switch {
	case d.asked != other.asked:
		return dates{}
	case !other.some:
		return d
	case !d.some:
		return other
	}
	d.orders &= other.orders
	return d
}

// order returns the only order in which all texts are dates, or 0.
func (d *dates) order() dateOrders {
	if bits.OnesCount8(uint8(d.orders)) == 1 {
		return d.orders
	}
	return 0
}

// note adds a note on what becomes of a column's dates.
func (d *dates) note(n *source.Notes, subject string) {
	switch order := d.order(); {
	case order == dayFirst:
		n.Add(subject, "Its dates, in which the day came first, are now written as 2006-01-31.")
	case order == monthFirst:
		n.Add(subject, "Its dates, in which the month came first, are now written as 2006-01-31.")
	case order == yearFirst:
		n.Add(subject, "Its dates are written as 2006-01-31.")
	case d.orders != 0:
		n.Add(subject, "Its texts are dates, but none of them shows whether the day or the month comes first: they stay as they are.")
	}
}
