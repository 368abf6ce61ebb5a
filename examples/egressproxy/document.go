package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Fault is one thing that is wrong with a configuration.
type Fault struct {
	Line  int    // 0 where it has none
	Field string // "upstreams[0].limits"; "" for the whole
	Text  string
}

// Faults are all that is wrong with a configuration, by line.
type Faults struct {
	File string
	All  []Fault
}

// Error has a line for each fault: "egressproxy.yaml:12: upstreams[0].limits: …".
func (f *Faults) Error() string {
	lines := make([]string, len(f.All))
	for i, fault := range f.All {
		where := f.File
		if fault.Line > 0 {
			where += ":" + strconv.Itoa(fault.Line)
		}
		if fault.Field != "" {
			where += ": " + fault.Field
		}
		lines[i] = where + ": " + fault.Text
	}
	return strings.Join(lines, "\n")
}

// A document is a YAML file while it is read, and what was found wrong with it so far. The YAML
// library's own decoding stops at the first value that is not taken, and says which Go type a
// field was to fill; this goes on, and says what the reader of the file can mend.
type document struct{ faults []Fault }

func (d *document) fault(line int, field, format string, args ...any) {
	d.faults = append(d.faults, Fault{line, field, fmt.Sprintf(format, args...)})
}

// faultsOf notes each of the errors that err joins.
func (d *document) faultsOf(line int, field string, err error) {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range all.Unwrap() {
			d.faultsOf(line, field, err)
		}
		return
	}
	d.fault(line, field, "%s", withoutPackage(err.Error()))
}

// withoutPackage takes the name of a Go package off the front of an error's text.
func withoutPackage(text string) string {
	for _, name := range []string{"pacer: ", "retrypolicy: ", "redispacer: "} {
		text = strings.TrimPrefix(text, name)
	}
	return text
}

// inOrder returns what was found wrong, by line.
func (d *document) inOrder() []Fault {
	slices.SortStableFunc(d.faults, func(a, b Fault) int { return a.Line - b.Line })
	return d.faults
}

// A value is a node of the document and the name of its field.
type value struct {
	d     *document
	node  *yaml.Node
	field string
}

// parse returns the root of a document; the error is that of its syntax.
func (d *document) parse(text []byte) (value, error) {
	var root yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	if err := decoder.Decode(&root); err != nil {
		return value{}, err // io.EOF where it is empty
	}
	switch err := decoder.Decode(new(yaml.Node)); {
	case err == nil:
		return value{}, errors.New("holds a second document, must be one")
	case err != io.EOF:
		return value{}, err // what follows is not even YAML
	}
	return value{d, root.Content[0], ""}, nil
}

func (v value) fault(format string, args ...any) { v.d.fault(v.node.Line, v.field, format, args...) }

// mapping hands each value of a mapping to the function of its key. Keys that none is for, or that
// come twice, are faults.
func (v value) mapping(keys map[string]func(value)) {
	if v.node.Kind != yaml.MappingNode {
		v.fault("is %s, must be a mapping", v.kind())
		return
	}
	lines := make(map[string]int)
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.node.Content[i]
		field := key.Value
		if v.field != "" {
			field = v.field + "." + key.Value
		}
		read, known := keys[key.Value]
		switch earlier, twice := lines[key.Value]; {
		case !known:
			v.d.fault(key.Line, field, "is not known here, must be one of %s", strings.Join(sorted(keys), ", "))
		case twice:
			v.d.fault(key.Line, field, "stands here again, is in line %d already", earlier)
		default:
			lines[key.Value] = key.Line
			read(value{v.d, resolved(v.node.Content[i+1]), field})
		}
	}
}

// entries hands each key and value of a mapping of the program's user's own keys to f.
func (v value) entries(f func(key string, v value)) {
	keys := make(map[string]func(value))
	if v.node.Kind == yaml.MappingNode {
		for i := 0; i < len(v.node.Content); i += 2 {
			key := v.node.Content[i].Value
			keys[key] = func(v value) { f(key, v) }
		}
	}
	v.mapping(keys)
}

// sequence hands each element to f.
func (v value) sequence(f func(int, value)) {
	if v.node.Kind != yaml.SequenceNode {
		v.fault("is %s, must be a list", v.kind())
		return
	}
	for i, node := range v.node.Content {
		f(i, value{v.d, resolved(node), fmt.Sprintf("%s[%d]", v.field, i)})
	}
}

// text returns a scalar as it is written; what is none is a fault.
func (v value) text() (s string, ok bool) {
	if v.node.Kind != yaml.ScalarNode || v.node.Tag == "!!null" {
		v.fault("is %s, must be a text", v.kind())
		return "", false
	}
	return v.node.Value, true
}

func (v value) integer(least int) int {
	n, err := strconv.Atoi(v.node.Value)
	if v.node.Kind != yaml.ScalarNode || err != nil || n < least {
		v.fault("is %s, must be a whole number of at least %d", v.kind(), least)
		return 0
	}
	return n
}

func (v value) boolean() bool {
	if v.node.Kind != yaml.ScalarNode || v.node.Value != "true" && v.node.Value != "false" {
		v.fault("is %s, must be true or false", v.kind())
	}
	return v.node.Value == "true"
}

func (v value) duration(least time.Duration) time.Duration {
	d, err := time.ParseDuration(v.node.Value)
	if v.node.Kind != yaml.ScalarNode || err != nil || d < least {
		v.fault("is %s, must be a duration of at least %v, such as 500ms or 1m30s", v.kind(), least)
		return 0
	}
	return d
}

// kind says what stands there.
func (v value) kind() string {
	switch {
	case v.node.Kind == yaml.MappingNode:
		return "a mapping"
	case v.node.Kind == yaml.SequenceNode:
		return "a list"
	case v.node.Tag == "!!null":
		return "empty"
	}
	return strconv.Quote(v.node.Value)
}

func resolved(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func sorted(keys map[string]func(value)) []string {
	var names []string
	for name := range keys {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
