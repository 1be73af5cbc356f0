// Package message chooses the language of what the widget says and holds the texts: our own in a dozen languages, or those
// of a mosparo release.
package message

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// Fallback is the locale that has every text.
const Fallback = "en"

//go:embed texts/*.yaml
var ownTexts embed.FS

// bundled are the locales for which mosparo 1.5 has a label, so that a visitor can be given them. A client sees the same
// choice of locale here, even where the texts are still English.
const bundled = "ar bg bn ca cs da de el en es et fi fr he hi hr hu id it ja km ko lv nl peo pl pt ro ru sk sl sq sr sv ta th tr uk vi zh_Hans zh_Hant"

// texts is the form of a file of messages; it is that of mosparo's translations/frontend.<locale>.yaml.
type texts struct {
	Label         *string `yaml:"label"` // a locale with a label can be chosen, though it be empty
	Accessibility struct {
		CheckingData string `yaml:"checkingData"`
		DataValid    string `yaml:"dataValid"`
		ProtectedBy  string `yaml:"protectedBy"`
	} `yaml:"accessibility"`
	Error struct {
		GotNoToken             string `yaml:"gotNoToken"`
		InternalError          string `yaml:"internalError"`
		NoSubmitTokenAvailable string `yaml:"noSubmitTokenAvailable"`
		SpamDetected           string `yaml:"spamDetected"`
		LockedOut              string `yaml:"lockedOut"`
		Delay                  string `yaml:"delay"`
	} `yaml:"error"`
	HP struct {
		FieldTitle string `yaml:"fieldTitle"`
	} `yaml:"hp"`
}

func (t *texts) label() string {
	if t.Label == nil {
		return ""
	}
	return *t.Label
}

// message is one text of a reply: its key there, the key of a project's own text, and where a file has it.
type message struct {
	name string
	key  protection.TranslationKey
	text func(*texts) string
}

// messages lists them in the order of the reply.
func messages() []message {
	return []message{
		{"label", protection.MessageLabel, (*texts).label},
		{"accessibilityCheckingData", protection.MessageCheckingData, func(t *texts) string { return t.Accessibility.CheckingData }},
		{"accessibilityDataValid", protection.MessageDataValid, func(t *texts) string { return t.Accessibility.DataValid }},
		{"accessibilityProtectedBy", protection.MessageProtectedBy, func(t *texts) string { return t.Accessibility.ProtectedBy }},
		{"errorGotNoToken", protection.MessageGotNoToken, func(t *texts) string { return t.Error.GotNoToken }},
		{"errorInternalError", protection.MessageInternalError, func(t *texts) string { return t.Error.InternalError }},
		{"errorNoSubmitTokenAvailable", protection.MessageNoTokenAvailable, func(t *texts) string { return t.Error.NoSubmitTokenAvailable }},
		{"errorSpamDetected", protection.MessageSpamDetected, func(t *texts) string { return t.Error.SpamDetected }},
		{"errorLockedOut", protection.MessageLockedOut, func(t *texts) string { return t.Error.LockedOut }},
		{"errorDelay", protection.MessageDelay, func(t *texts) string { return t.Error.Delay }},
		{"hpLeaveEmpty", protection.MessageHoneypotLeaveEmpty, func(t *texts) string { return t.HP.FieldTitle }},
	}
}

// Catalog holds texts by locale. It is immutable and safe for concurrent use.
type Catalog struct {
	labelled []string // locales that can be chosen
	texts    map[string]*texts
	last     *texts // our English, which is complete
	messages []message
}

// Own returns the texts written for this program.
func Own() *Catalog {
	own, err := load(ownTexts, "texts/*.yaml")
	if err != nil {
		panic(err) // embedded, so a mistake in the build
	}
	return &Catalog{labelled: strings.Fields(bundled), texts: own, last: own[Fallback], messages: messages()}
}

// FromRelease returns the texts of the mosparo release in a folder; what it lacks in English comes from ours. The error is
// fs.ErrNotExist if there are none.
func FromRelease(dir string) (*Catalog, error) {
	root := filepath.Join(dir, "translations")
	found, err := load(os.DirFS(root), "frontend.*.yaml")
	if err != nil {
		return nil, fmt.Errorf("read messages of the release in %s: %w", dir, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("read messages of the release: %s: %w", filepath.Join(root, "frontend.*.yaml"), fs.ErrNotExist)
	}
	own := Own()
	c := &Catalog{texts: found, messages: own.messages, last: own.texts[Fallback]}
	for locale, t := range found {
		if t.Label != nil {
			c.labelled = append(c.labelled, locale)
		}
	}
	return c, nil
}

// load reads the files that match; the locale is what stands before the last dot of a name.
func load(files fs.FS, pattern string) (map[string]*texts, error) {
	names, err := fs.Glob(files, pattern)
	if err != nil {
		return nil, err
	}
	out := map[string]*texts{}
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		t := &texts{}
		if err := yaml.Unmarshal(data, t); err != nil {
			return nil, errors.New(name + ": " + yaml.FormatError(err, false, false))
		}
		locale := strings.TrimSuffix(path.Base(name), ".yaml")
		out[locale[strings.LastIndexByte(locale, '.')+1:]] = t
	}
	return out, nil
}

// Languages lists the locales that have texts.
func (c *Catalog) Languages() []string {
	var out []string
	for locale := range c.texts {
		out = append(out, locale)
	}
	slices.Sort(out)
	return out
}

// Request is what decides about the language.
type Request struct {
	AcceptLanguage string // header
	Language       string // parameter, written by the website's author
	HTMLLanguage   string // parameter, from the page
	Source         protection.LanguageSource
	Translations   []protection.Translation // the project's own texts
}

// Messages returns the messages of a reply, `locale` first. A project's own texts win, each for the first of the languages
// in which there is one; if the label is among them, its locale is the one that is named.
func (c *Catalog) Messages(r Request) php.Value {
	languages := r.languages()
	locale := Fallback
	for _, l := range languages {
		if slices.Contains(c.labelled, l) {
			locale = l
			break
		}
	}
	pairs := make([]php.Pair, 1, len(c.messages)+1)
	named := locale
	for _, m := range c.messages {
		text, from := r.translation(m.key, languages)
		if from == "" {
			text = c.text(m, locale)
		} else if m.key == protection.MessageLabel {
			named = from
		}
		pairs = append(pairs, php.Pair{Key: m.name, Value: php.String(text)})
	}
	pairs[0] = php.Pair{Key: "locale", Value: php.String(named)}
	return php.Map(pairs...)
}

// text falls back to English, and from that of a release to ours.
func (c *Catalog) text(m message, locale string) string {
	for _, l := range []string{locale, Fallback} {
		if t := c.texts[l]; t != nil && m.text(t) != "" {
			return m.text(t)
		}
	}
	return m.text(c.last)
}

func (r *Request) translation(key protection.TranslationKey, languages []string) (text, locale string) {
	for _, l := range languages {
		for _, t := range r.Translations {
			if t.Key == key && t.Locale == l {
				return t.Text, l
			}
		}
	}
	return "", ""
}
