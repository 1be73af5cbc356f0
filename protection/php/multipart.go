package php

import "strings"

// maxPartHeader bounds the header of a part, in bytes: putting folded lines together takes the square of their number.
const maxPartHeader = 16 << 10

// ParseMultipart reads the fields of a multipart/form-data body as PHP does; files are skipped. A body that breaks off gives
// what there was of it, and what stands between a closing boundary and the next one is skipped. A part whose header is
// longer than 16 KB ends the body. It never fails. contentType is the header with the boundary.
func ParseMultipart(body, contentType string) *Array {
	out := NewArray()
	boundary, ok := boundaryOf(contentType)
	if !ok {
		return out
	}
	boundary = "--" + boundary
	for n := 0; ; {
		header, rest, ok := partHeader(body, boundary)
		if !ok {
			return out
		}
		name, file := disposition(header)
		if name == "" && !file {
			return out
		}
		var value string
		value, body = partBody(rest, boundary)
		if n++; !file && n <= MaxInputVars {
			register(out, name, String(value))
		}
	}
}

// boundaryOf is the boundary that a header names, as "boundary" or else in other letters of any case. It ends at a comma, too.
func boundaryOf(contentType string) (string, bool) {
	at := strings.Index(contentType, "boundary")
	if at < 0 {
		at = strings.Index(ToLower(contentType), "boundary")
	}
	if at < 0 {
		return "", false
	}
	_, value, ok := strings.Cut(contentType[at:], "=")
	if quoted, isQuoted := strings.CutPrefix(value, `"`); isQuoted {
		value, _, ok = strings.Cut(quoted, `"`)
	} else if end := strings.IndexAny(value, ",;"); end >= 0 {
		value = value[:end]
	}
	return value, ok
}

// nextLine takes a line off s. The last one counts only if it is ended.
func nextLine(s string) (line, rest string, ok bool) {
	line, rest, ok = strings.Cut(s, "\n")
	return strings.TrimSuffix(line, "\r"), rest, ok
}

// partHeader looks for the next boundary and reads the Content-Disposition below it.
func partHeader(s, boundary string) (disposition, rest string, ok bool) {
	for line := ""; line != boundary; {
		if line, s, ok = nextLine(s); !ok {
			return "", "", false
		}
	}
	var lines []string
	for size := len(s); ; {
		line, after, ok := nextLine(s)
		if !ok || size-len(after) > maxPartHeader {
			return "", "", false
		}
		if s = after; line == "" {
			break
		}
		if len(lines) > 0 && (isBlank(line[0]) || !strings.Contains(line, ":")) { // folded
			lines[len(lines)-1] += line
		} else {
			lines = append(lines, line)
		}
	}
	for _, line := range lines {
		if key, value, _ := strings.Cut(line, ":"); strings.EqualFold(key, "Content-Disposition") {
			return strings.TrimLeft(value, whitespace), s, true
		}
	}
	return "", s, true
}

// partBody is what stands before the next boundary. Of a body that breaks off, what may be the beginning of one is not part
// of it.
func partBody(s, boundary string) (value, rest string) {
	boundary = "\n" + boundary
	end := strings.Index(s, boundary)
	if end >= 0 {
		rest = s[end+1:]
	} else {
		end = len(s)
		for n := min(len(boundary), len(s)); n > 0; n-- {
			if strings.HasSuffix(s, boundary[:n]) {
				end = len(s) - n
				break
			}
		}
		if end == len(s) {
			return s, ""
		}
	}
	return strings.TrimSuffix(s[:end], "\r"), rest
}

// disposition reads the name of a part and whether it is a file.
func disposition(header string) (name string, file bool) {
	for header != "" {
		var pair string
		pair, header = cutUnquoted(header, ';')
		header = strings.TrimLeft(header, whitespace)
		if key, value, ok := strings.Cut(pair, "="); ok {
			switch {
			case strings.EqualFold(key, "name"):
				name = word(value)
			case strings.EqualFold(key, "filename"):
				file = true
			}
		}
	}
	return name, file
}

// cutUnquoted cuts s at the first sep that is not in quotes.
func cutUnquoted(s string, sep byte) (before, after string) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case sep:
			return s[:i], strings.TrimLeft(s[i+1:], string(sep))
		case '"', '\'':
			for i++; i < len(s) && s[i] != c; i++ {
				if s[i] == '\\' && i+1 < len(s) && s[i+1] == c {
					i++
				}
			}
		}
	}
	return s, ""
}

// word is a value without its quotes, or up to the first blank.
func word(s string) string {
	s = strings.TrimLeft(s, whitespace)
	if s == "" || s[0] != '"' && s[0] != '\'' {
		if end := strings.IndexAny(s, whitespace); end >= 0 {
			s = s[:end]
		}
		return s
	}
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s) && s[i] != quote; i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == quote || s[i+1] == '\\') {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isBlank(c byte) bool { return strings.IndexByte(whitespace, c) >= 0 }
