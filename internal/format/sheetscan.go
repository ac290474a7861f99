package format

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxMerged is how many merged cells of a sheet are remembered.
const maxMerged = 1000

// surveyXLSX looks for the cells of a sheet without parsing what they hold, which takes a
// fraction of the time of reading it.
func surveyXLSX(r io.Reader) (s sheetSurvey, err error) {
	b := bufio.NewReaderSize(r, 64<<10)
	column, unsure := -1, false
	for {
		piece, err := b.ReadSlice('>')
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // inside a long text
			continue
		case err == io.EOF:
			if unsure {
				s.width = -1
			}
			return s, nil
		case err != nil:
			return s, err
		}
		at := bytes.LastIndexByte(piece, '<')
		if at < 0 || at+1 == len(piece) {
			continue
		}
		tag := piece[at+1:]
		switch name := tagName(tag); {
		case len(name) == 1 && name[0] == 'c':
			column++
			if place := tagAttribute(tag, ` r="`); place != nil {
				column = columnNumber(place)
			} else if bytes.Contains(tag, []byte("r=")) {
				unsure = true
			}
			s.width = max(s.width, column+1)
		case string(name) == "row":
			column = -1
		case string(name) == "mergeCell" && len(s.merged) < maxMerged:
			if area, ok := parseArea(string(tagAttribute(tag, ` ref="`))); ok {
				s.merged = append(s.merged, area)
			}
		}
	}
}

// tagName returns the name of a start tag without its prefix.
func tagName(tag []byte) []byte {
	end := bytes.IndexAny(tag, " \t\r\n/>")
	if end < 0 {
		return nil
	}
	if colon := bytes.IndexByte(tag[:end], ':'); colon >= 0 {
		return tag[colon+1 : end]
	}
	return tag[:end]
}

// tagAttribute returns the value of an attribute, given with what is around its name, or
// nil.
func tagAttribute(tag []byte, name string) []byte {
	_, value, found := bytes.Cut(tag, []byte(name))
	if !found {
		return nil
	}
	value, _, found = bytes.Cut(value, []byte{'"'})
	if !found {
		return nil
	}
	return value
}
