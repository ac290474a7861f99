package format

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonLayout says where the rows are in a JSON file. The zero value is an array of
// objects at the root.
type jsonLayout struct {
	path     []string // the keys from the root to the value that holds the rows
	lines    bool     // the rows follow one another at the root, as in NDJSON
	single   bool     // the value is itself the only row
	keyed    bool     // the rows are the members of an object
	arrays   bool     // the rows are arrays of values rather than objects
	header   bool     // the first array names the columns
	features bool     // the rows are features of GeoJSON
	lenient  bool     // NaN, infinities and repeated keys are accepted

	// sources maps column names to the keys under which JSONReader looks up their
	// values, where those differ.
	sources map[string]string
}

// isPlain reports whether the layout is one that files of rows are meant to have.
func (l *jsonLayout) isPlain() bool {
	return len(l.path) == 0 && !l.keyed && !l.arrays && !l.features
}

// A survey of a JSON file looks this many objects deep for rows, and keeps this many
// places where it finds some.
const (
	maxSurveyDepth = 5
	maxJSONLists   = 20
)

// jsonList is a place in a JSON file where there are rows.
type jsonList struct {
	path          []string
	arrays, keyed bool
}

// jsonSurvey looks for rows in the first value of a JSON file.
type jsonSurvey struct {
	file     *jsonFile
	lists    []jsonList
	features bool // the root is a FeatureCollection
}

// surveyJSON finds the layout of a file. whole says that an object is a row even if
// there are lists in it. The notes say what was chosen among other possibilities.
func surveyJSON(r io.Reader, lenient, whole bool) (l jsonLayout, notes []string, err error) {
	f := newJSONFile(r, lenient)
	l.lenient = lenient
	switch f.decoder.PeekKind() {
	case '[':
		err = f.surveyArray(&l)
	case '{':
		s := jsonSurvey{file: f}
		if whole {
			err = f.decoder.SkipValue()
		} else {
			_, err = s.object(nil, true)
		}
		if err != nil {
			break
		}
		f.lines.past(f.decoder.InputOffset())
		if whole || f.decoder.PeekKind() != 0 {
			l.lines = true
			break
		}
		notes = s.choose(&l)
	default:
		l.lines = true // the scan says what is wrong
	}
	return l, notes, f.explain(err)
}

// surveyArray finds the layout of a file that starts with an array, from its first
// element.
func (f *jsonFile) surveyArray(l *jsonLayout) error {
	if _, err := f.decoder.ReadToken(); err != nil {
		return err
	}
	switch f.decoder.PeekKind() {
	case '{', ']', 0:
		return nil
	case '[':
		l.arrays = true
		return nil
	}
	for f.decoder.PeekKind() != ']' {
		if err := f.decoder.SkipValue(); err != nil {
			return err
		}
	}
	if _, err := f.decoder.ReadToken(); err != nil {
		return err
	}
	if f.decoder.PeekKind() == '[' {
		l.lines, l.arrays = true, true
	}
	return nil
}

// choose sets the layout of a file that is an object, and says what else it could be.
func (s *jsonSurvey) choose(l *jsonLayout) (notes []string) {
	if s.features {
		l.path, l.features = []string{"features"}, true
		return []string{"The features of the GeoJSON file are its rows: their properties became columns, the geometry a text."}
	}
	lists := slices.Clone(s.lists)
	if hasObjects := func(list jsonList) bool { return !list.arrays }; slices.ContainsFunc(lists, hasObjects) {
		lists = slices.DeleteFunc(lists, func(list jsonList) bool { return list.arrays })
	}
	if len(lists) == 0 {
		l.single = true
		return nil
	}
	slices.SortStableFunc(lists, func(a, b jsonList) int { return len(a.path) - len(b.path) })
	if len(lists) > 1 && len(lists[1].path) == len(lists[0].path) {
		l.single = true
		return []string{fmt.Sprintf("The file is one object with several lists, so it became one row; set json_path to take the rows from one of them: %s.", pathsOf(lists))}
	}
	l.path, l.arrays, l.keyed = lists[0].path, lists[0].arrays, lists[0].keyed
	switch {
	case l.keyed && len(l.path) == 0:
		notes = append(notes, `The file is an object of objects: each became a row. Set json_path to $ to make the file one row.`)
	case l.keyed:
		notes = append(notes, fmt.Sprintf("The rows are the members of the object at %s; the rest of the file was left out.", JSONPath(l.path)))
	default:
		notes = append(notes, fmt.Sprintf("The rows are those of the list at %s; the rest of the file was left out.", JSONPath(l.path)))
	}
	if len(lists) > 1 {
		notes = append(notes, fmt.Sprintf("There are other lists further down; set json_path to take the rows from one of them: %s.", pathsOf(lists[1:])))
	}
	return notes
}

func pathsOf(lists []jsonList) string {
	const most = 5
	var paths []string
	for _, list := range lists[:min(len(lists), most)] {
		paths = append(paths, JSONPath(list.path))
	}
	if len(lists) > most {
		paths = append(paths, "…")
	}
	return strings.Join(paths, ", ")
}

// value looks for rows in a value, and returns the keys of an object.
func (s *jsonSurvey) value(path []string) (kind jsontext.Kind, keys []string, err error) {
	kind = s.file.decoder.PeekKind()
	switch {
	case kind == '{' && len(path) < maxSurveyDepth:
		keys, err = s.object(path, false)
	case kind == '[':
		err = s.array(path)
	default:
		err = s.file.decoder.SkipValue()
	}
	s.file.lines.past(s.file.decoder.InputOffset())
	return kind, keys, err
}

// object looks for rows in an object. It is a list of rows itself if its members are
// objects that have two thirds of their keys in common.
func (s *jsonSurvey) object(path []string, root bool) (keys []string, err error) {
	before := len(s.lists)
	objects, others, total := 0, 0, 0
	all := map[string]bool{}
	collection := false
	err = s.file.members(func(key jsontext.Value) error {
		name, err := jsontext.AppendUnquote(nil, key)
		if err != nil {
			return err
		}
		if len(keys) < maxKeys {
			keys = append(keys, string(name))
		}
		if root && string(name) == "type" && s.file.decoder.PeekKind() == '"' {
			text, err := s.file.decoder.ReadToken()
			collection = err == nil && text.String() == "FeatureCollection"
			others++
			return err
		}
		kind, own, err := s.value(append(slices.Clone(path), string(name)))
		if kind != '{' {
			others++
			return err
		}
		objects++
		total += len(own)
		for _, key := range own {
			if len(all) < maxKeys {
				all[key] = true
			}
		}
		return err
	})
	s.features = collection && slices.ContainsFunc(s.lists, func(list jsonList) bool { return slices.Equal(list.path, []string{"features"}) })
	if objects > 1 && others == 0 && 3*total >= 2*objects*len(all) && len(all) > 0 {
		s.lists = append(s.lists[:before], jsonList{path: path, keyed: true})
	}
	return keys, err
}

// array looks for rows in an array.
func (s *jsonSurvey) array(path []string) error {
	d := s.file.decoder
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	counts := map[jsontext.Kind]int{}
	for d.PeekKind() != ']' {
		counts[d.PeekKind()]++
		if err := d.SkipValue(); err != nil {
			return err
		}
		s.file.lines.past(d.InputOffset())
	}
	if len(counts) == 1 && counts['{']+counts['['] > 0 && len(s.lists) < maxJSONLists {
		s.lists = append(s.lists, jsonList{path: path, arrays: counts['['] > 0})
	}
	_, err := d.ReadToken()
	return err
}

// layoutAt returns the layout of a file whose rows are at a path that the client gave:
// the elements of an array, or an object, or its members.
func layoutAt(r io.Reader, path []string, members, lenient bool) (l jsonLayout, err error) {
	f := newJSONFile(r, lenient)
	l = jsonLayout{path: path, lenient: lenient, keyed: members, single: !members}
	if err := f.enter(path); err != nil {
		return l, f.explain(err)
	}
	switch f.decoder.PeekKind() {
	case '{':
	case '[':
		l.keyed, l.single = false, false
		if _, err := f.decoder.ReadToken(); err != nil {
			return l, f.explain(err)
		}
		l.arrays = f.decoder.PeekKind() == '['
	default:
		return l, &FileError{Reason: fmt.Sprintf("The value at %s in json_path is neither a list nor an object.", JSONPath(path))}
	}
	return l, nil
}

// enter reads up to the value at a path.
func (f *jsonFile) enter(path []string) error {
	for i, want := range path {
		missing := &FileError{Reason: fmt.Sprintf("There is nothing at %s in the file; correct json_path.", JSONPath(path[:i+1]))}
		if f.decoder.PeekKind() != '{' {
			return missing
		}
		if _, err := f.decoder.ReadToken(); err != nil {
			return err
		}
		for {
			if f.decoder.PeekKind() == '}' {
				return missing
			}
			key, err := f.decoder.ReadValue()
			if err != nil {
				return err
			}
			name, err := jsontext.AppendUnquote(nil, key)
			if err != nil {
				return err
			}
			if string(name) == want {
				break
			}
			if err := f.decoder.SkipValue(); err != nil {
				return err
			}
			f.lines.past(f.decoder.InputOffset())
		}
	}
	return nil
}

// JSONPath writes a path of keys as JSONPath, such as $.data.items or $["a b"].
func JSONPath(keys []string) string {
	path := "$"
	for _, key := range keys {
		if isPathName(key) {
			path += "." + key
		} else {
			path += "[" + string(AppendString(nil, key)) + "]"
		}
	}
	return path
}

func isPathName(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool { return r != '_' && r < 0x80 && !isWordByte(byte(r)) }) && (key[0] < '0' || key[0] > '9')
}

// ParseJSONPath returns the keys of a JSONPath, which may consist only of names: $ is the
// root, $.name or $["name"] a member. members reports an ending [*] or .*, which stands
// for everything in the value.
func ParseJSONPath(path string) (keys []string, members, ok bool) {
	rest, ok := strings.CutPrefix(path, "$")
	for rest != "" && ok {
		switch {
		case rest == "[*]", rest == ".*":
			return keys, true, true
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], ".[") + 1
			if end == 0 {
				end = len(rest)
			}
			keys, ok, rest = append(keys, rest[1:end]), end > 1, rest[end:]
		case rest[0] == '[':
			quoted := rest[1:]
			if strings.HasPrefix(quoted, "'") {
				name, after, found := strings.Cut(quoted[1:], "']")
				keys, ok, rest = append(keys, name), found, after
				continue
			}
			d := jsontext.NewDecoder(strings.NewReader(quoted))
			token, err := d.ReadToken()
			if err != nil || token.Kind() != '"' || !strings.HasPrefix(quoted[d.InputOffset():], "]") {
				return nil, false, false
			}
			keys, rest = append(keys, token.String()), quoted[d.InputOffset()+1:]
		default:
			ok = false
		}
	}
	return keys, false, ok
}
