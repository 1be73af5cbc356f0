package rule

import (
	"regexp"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection/php"
)

// extractors find in a field's lower-cased value the texts whose hashes the preselection asks for. They are mosparo's
// patterns with `\s` spelt as PCRE has it; RE2 finds the same leftmost-first matches. Hosts are found without a pattern
// because nearly every text with an address in it is searched for them.
type extractors struct {
	email, website *regexp.Regexp
}

func newExtractors() *extractors {
	return &extractors{
		email:   regexp.MustCompile(`(?:\A|[\t-\r ])[\w\-.+]+@(?:[\w-]+\.)+[\w-]{2,}(?:\z|[\t-\r ])`),
		website: regexp.MustCompile(`(?:\A|[\t-\r ])[a-zA-Z0-9]+://(?:[\w\-.]+\.)*[\w\-.]+\.\w{2,}.[^\t-\r ]*(?:\z|[\t-\r ])`),
	}
}

// emails returns the values of e-mail items that are candidates for the field.
func (x *extractors) emails(path, lower string) []string {
	switch {
	case strings.HasPrefix(path, pathEmail):
		return []string{lower}
	case strings.HasPrefix(path, pathTextarea) && strings.Contains(lower, "@"):
		return trimmed(x.email.FindAllString(lower, -1))
	}
	return nil
}

// domains returns the values of domain items that are candidates for the field.
func (x *extractors) domains(path, lower string) []string {
	switch {
	case strings.HasPrefix(path, pathEmail):
		return notZero(hosts(lower, true, false, 1))
	case strings.HasPrefix(path, pathURL):
		return notZero(hosts(lower, false, true, 1))
	case strings.HasPrefix(path, pathTextarea):
		return trimmed(hosts(lower, true, true, -1))
	}
	return nil
}

// notZero drops the host "0", which counts as none in PHP.
func notZero(found []string) []string {
	if len(found) == 1 && found[0] == "0" {
		return nil
	}
	return found
}

// hosts returns up to most matches (-1 is all) of `(@|://)(.[^/\s]*)(/|\n|\s|$)`, group 2. With mail alone the marker is @
// and a slash does not end a host; with url alone the marker is ://.
func hosts(text string, mail, url bool, most int) []string {
	var found []string
	for pos := 0; pos < len(text) && len(found) != most; {
		marker := 1
		switch rest := text[pos:]; {
		case mail && rest[0] == '@':
		case url && strings.HasPrefix(rest, "://"):
			marker = len("://")
		default:
			pos++
			continue
		}
		start := pos + marker
		pos++
		if start >= len(text) || text[start] == '\n' {
			continue
		}
		end := start + 1
		for end < len(text) && text[end] != '/' && !isSpace(text[end]) {
			end++
		}
		if end < len(text) && text[end] == '/' && !url {
			continue
		}
		found = append(found, text[start:end])
		pos = end + 1
	}
	return found
}

// websites returns the values of url items that are candidates for the field.
func (x *extractors) websites(path, lower string) []string {
	switch {
	case strings.HasPrefix(path, pathURL):
		return []string{lower}
	case strings.HasPrefix(path, pathTextarea) && strings.Contains(lower, "://"):
		return trimmed(x.website.FindAllString(lower, -1))
	}
	return nil
}

func trimmed(list []string) []string {
	for i := range list {
		list[i] = php.Trim(list[i])
	}
	return list
}
