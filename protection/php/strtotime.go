package php

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxDate bounds the text of a date, in bytes.
const maxDate = 200

// ParseTime reads what PHP's strtotime reads (8.2), as far as people write it: dates and times in digits or with the names of
// months, Unix times, words such as today and noon, weekdays, and distances such as "-7 days", "last month" and "2 weeks ago",
// one after the other. Days beyond the end of a month run into the next. The time is in the zone that the text names, else in that
// of now. It is false for everything else.
func ParseTime(text string, now time.Time) (time.Time, bool) {
	p := dateParser{now: now, loc: now.Location(), weekday: -1}
	rest := ToLower(text)
	if len(rest) > maxDate {
		return now, false
	}
	for {
		if rest = strings.TrimLeft(rest, " \t\n,.\u00a0"); rest == "" {
			return p.result()
		}
		taken := 0
		var take func(*dateParser, []string) bool
		var groups []string
		for _, f := range dateForms {
			if m := f.pattern.FindStringSubmatch(rest); m != nil && len(m[0]) > taken && ends(rest, len(m[0])) {
				taken, take, groups = len(m[0]), f.take, m
			}
		}
		if taken == 0 || !take(&p, groups) {
			return now, false
		}
		rest = rest[taken:]
	}
}

// ends reports whether no number and no word goes on at i.
func ends(s string, i int) bool {
	if i == len(s) {
		return true
	}
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	letter := func(c byte) bool { return 'a' <= c && c <= 'z' }
	return !(digit(s[i-1]) && digit(s[i]) || letter(s[i-1]) && letter(s[i]))
}

// dateParser collects what the parts of a date say.
type dateParser struct {
	now time.Time
	loc *time.Location

	year, month, day     int
	hour, minute, second int
	dated, timed, zoned  bool
	plain                bool // a word resets the time of the day to midnight

	relative [6]int // years, months, days, hours, minutes, seconds
	weekday  int    // -1: none
	steps    int    // weeks from the nearest such weekday; 0 counts today
	inWeek   bool   // the weekday of the current week
	edge     int    // 1: first, 2: last day of the month
}

func (p *dateParser) date(year, month, day int) bool {
	ok := !p.dated
	p.dated, p.year, p.month, p.day = true, year, month, day
	return ok
}

func (p *dateParser) time(hour, minute, second int) bool {
	ok := !p.timed
	p.timed, p.hour, p.minute, p.second = true, hour, minute, second
	return ok
}

func (p *dateParser) zone(loc *time.Location) bool {
	ok := !p.zoned
	p.zoned, p.loc = true, loc
	return ok
}

// midnight forgets the time of the day that was read so far, as PHP does.
func (p *dateParser) midnight() { p.plain, p.timed = true, false }

// add is a distance of n units.
func (p *dateParser) add(n int, unit string) bool {
	for _, u := range dateUnits {
		if slices.Contains(u.names, strings.TrimSuffix(unit, "s")) {
			p.relative[u.place] += n * u.times
			return true
		}
	}
	day := weekdayOf(unit)
	p.weekday = day
	if n > 0 {
		n-- // the nearest one that is not today
		p.steps = 1 + n
	} else {
		p.steps = n
	}
	return day >= 0
}

var dateUnits = []struct {
	names        []string
	place, times int
}{
	{[]string{"year"}, 0, 1}, {[]string{"month"}, 1, 1}, {[]string{"day"}, 2, 1}, {[]string{"week"}, 2, 7}, {[]string{"fortnight"}, 2, 14},
	{[]string{"hour"}, 3, 1}, {[]string{"minute", "min"}, 4, 1}, {[]string{"second", "sec"}, 5, 1},
}

func (p *dateParser) result() (time.Time, bool) {
	y, m, d := p.now.Date()
	h, i, s := p.now.Clock()
	if p.dated {
		y, m, d = p.year, time.Month(p.month), p.day
	}
	if p.timed {
		h, i, s = p.hour, p.minute, p.second
	} else if p.dated || p.plain {
		h, i, s = 0, 0, 0
	}
	r := p.relative
	y, m = y+r[0], m+time.Month(r[1])
	switch p.edge {
	case 1:
		d = 1
	case 2:
		m, d = m+1, 0
	}
	t := time.Date(y, m, d+r[2], h+r[3], i+r[4], s+r[5], 0, p.loc)
	if p.weekday >= 0 {
		t = t.AddDate(0, 0, p.toWeekday(int(t.Weekday())))
	}
	return t, true
}

// toWeekday is how many days it is from a weekday to the wanted one.
func (p *dateParser) toWeekday(from int) int {
	ahead := (p.weekday - from + 7) % 7
	switch {
	case p.inWeek:
		return (p.weekday+6)%7 - (from+6)%7 // weeks begin on Monday
	case p.steps > 0 && ahead == 0:
		return 7 * p.steps
	case p.steps > 0:
		return ahead + 7*(p.steps-1)
	}
	return ahead + 7*p.steps // last: before today, also if today is such a day
}

const (
	monthNames   = `january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec`
	weekdayNames = `sunday|monday|tuesday|wednesday|thursday|friday|saturday|sun|mon|tues|tue|wednes|wed|thurs|thur|thu|fri|sat`
	unitNames    = `(?:year|month|fortnight|week|day|hour|minute|min|second|sec)s?|` + weekdayNames
	ordinals     = `first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth`
	// Days and months are of the calendar; a day that the month lacks is not their matter.
	monthPart = `(1[0-2]|0?[0-9])`
	dayPart   = `(3[01]|[0-2]?[0-9])(?:st|nd|rd|th)?`
	clock     = `(2[0-4]|[01]?[0-9])[:.]([0-5]?[0-9])(?:[:.](60|[0-5]?[0-9])(?:\.[0-9]+)?)?`
)

func monthOf(name string) int {
	return strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", name[:3])/3 + 1
}

func weekdayOf(name string) int {
	if len(name) < 3 {
		return -1
	}
	if i := strings.Index("sunmontuewedthufrisat", name[:3]); i >= 0 {
		return i / 3
	}
	return -1
}

// shortYear is a year of two digits.
func shortYear(text string) int {
	y := digits(text)
	switch {
	case len(text) > 2:
	case y < 70:
		y += 2000
	default:
		y += 1900
	}
	return y
}

func digits(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// dateForm is a part of a date; of several that match the longest counts, of equal ones the first.
type dateForm struct {
	pattern *regexp.Regexp
	take    func(p *dateParser, m []string) bool
}

func form(pattern string, take func(*dateParser, []string) bool) dateForm {
	return dateForm{regexp.MustCompile(`^(?:` + pattern + `)`), take}
}

// ymd makes a form of three places: those of year, month and day among the groups, 0 for the first.
func ymd(pattern string, year, month, day int) dateForm {
	return form(pattern, func(p *dateParser, m []string) bool {
		y, mon, d := p.now.Year(), 0, 1
		if year > 0 {
			y = shortYear(m[year])
		}
		if mon = digits(m[month]); m[month][0] >= 'a' {
			mon = monthOf(m[month])
		}
		if day > 0 {
			d = digits(m[day])
		}
		return p.date(y, mon, d)
	})
}

var dateForms = []dateForm{
	form(`now`, func(*dateParser, []string) bool { return true }),
	form(`today|midnight`, func(p *dateParser, _ []string) bool { p.midnight(); return true }),
	form(`noon`, func(p *dateParser, _ []string) bool { return p.time(12, 0, 0) }),
	form(`tomorrow`, func(p *dateParser, _ []string) bool { p.midnight(); p.relative[2]++; return true }),
	form(`yesterday`, func(p *dateParser, _ []string) bool { p.midnight(); p.relative[2]--; return true }),
	{regexp.MustCompile(`^@(-?[0-9]{1,12})(?:\.[0-9]{0,6})?$`), func(p *dateParser, m []string) bool {
		n, err := strconv.ParseInt(m[1], 10, 64)
		t := time.Unix(n, 0).UTC()
		return err == nil && p.date(t.Year(), int(t.Month()), t.Day()) && p.time(t.Hour(), t.Minute(), t.Second()) && p.zone(time.UTC)
	}},
	ymd(`([0-9]{4})[-/]`+monthPart+`[-/]`+dayPart, 1, 2, 3),
	ymd(`([0-9]{4})(0[0-9]|1[0-2])([0-2][0-9]|3[01])`, 1, 2, 3),
	ymd(`([0-9]{2})-(0[0-9]|1[0-2])-([0-2][0-9]|3[01])`, 1, 2, 3),
	ymd(`([0-9]{4})-`+monthPart, 1, 2, 0),
	ymd(monthPart+`/`+dayPart+`(?:/([0-9]{4}|[0-9]{2}))`, 3, 1, 2),
	ymd(monthPart+`/`+dayPart, 0, 1, 2),
	ymd(dayPart+`[.-]`+monthPart+`[.-]([0-9]{4})`, 3, 2, 1),
	{regexp.MustCompile(`^t?` + clock + `(?:[ \t]*([ap])\.?m\.?)?`), func(p *dateParser, m []string) bool { return p.halfDay(m[1], m[2], m[3], m[4]) }},
	ymd(dayPart+`\.`+monthPart+`\.([0-9]{2})`, 3, 2, 1), // where it is no time, as 31.12.25
	ymd(dayPart+`[ \t.-]*(`+monthNames+`)[ \t.,-]*([0-9]{1,4})`, 3, 2, 1),
	ymd(dayPart+`[ \t.-]*(`+monthNames+`)`, 0, 2, 1),
	ymd(`(`+monthNames+`)[ \t.-]*`+dayPart+`[,.stndrh\t ]+([0-9]{4})`, 3, 1, 2),
	ymd(`(`+monthNames+`)[ \t.-]*`+dayPart, 0, 1, 2),
	ymd(`(`+monthNames+`)-([0-2][0-9]|3[01])-([0-9]{4}|[0-9]{2})`, 3, 1, 2),
	ymd(`([0-9]{4}|[0-9]{2})-(`+monthNames+`)-([0-2][0-9]|3[01])`, 1, 2, 3),
	ymd(`(`+monthNames+`)[ \t.-]*([0-9]{4})`, 2, 1, 0),
	ymd(`([0-9]{4})[ \t.-]*(`+monthNames+`)`, 1, 2, 0),
	form(monthNames, func(p *dateParser, m []string) bool { return p.date(p.now.Year(), monthOf(m[0]), p.now.Day()) }),
	form(`([0-9]{4})-?w(0[1-9]|[1-4][0-9]|5[0-3])(?:-?([0-7]))?`, func(p *dateParser, m []string) bool {
		fourth := time.Date(digits(m[1]), 1, 4, 0, 0, 0, 0, time.UTC) // is in the first week
		day := 1
		if m[3] != "" {
			day = digits(m[3])
		}
		return p.date(digits(m[1]), 1, 4-(int(fourth.Weekday())+6)%7+7*(digits(m[2])-1)+day-1)
	}),
	form(`([0-9]{4})[.-]?(00[1-9]|0[1-9][0-9]|[12][0-9][0-9]|3[0-5][0-9]|36[0-6])`, func(p *dateParser, m []string) bool { return p.date(digits(m[1]), 1, digits(m[2])) }),
	form(`t(2[0-4]|[01][0-9])(?:([0-5][0-9])([0-5][0-9])?)?`, func(p *dateParser, m []string) bool { return p.halfDay(m[1], m[2], m[3], "") }),
	form(`(1[0-2]|0?[1-9])[ \t]*([ap])\.?m\.?`, func(p *dateParser, m []string) bool { return p.halfDay(m[1], "0", "0", m[2]) }),
	form(`[0-9]{4}`, func(p *dateParser, m []string) bool { // a time if it can be one
		if h, i := digits(m[0][:2]), digits(m[0][2:]); h < 25 && i < 60 {
			return p.time(h, i, 0)
		}
		p.relative[0] += digits(m[0]) - p.now.Year()
		return true
	}),
	form(weekdayNames, func(p *dateParser, m []string) bool { p.weekday = weekdayOf(m[0]); p.midnight(); return true }),
	form(`([+-]*)[ \t]*([0-9]{1,9})[ \t]*(`+unitNames+`)`, func(p *dateParser, m []string) bool {
		n := digits(m[2])
		if n > 1_000_000 {
			return false
		}
		if strings.Count(m[1], "-")%2 == 1 {
			n = -n
		}
		return p.add(n, m[3])
	}),
	form(`(next|last|previous|this|`+ordinals+`)[ \t]+(`+unitNames+`)`, (*dateParser).word),
	form(`(first|last) day of`, func(p *dateParser, m []string) bool {
		p.edge = 1 + strings.Index("fl", m[1][:1])
		return true
	}),
	form(`ago`, func(p *dateParser, _ []string) bool {
		for i := range p.relative {
			p.relative[i] = -p.relative[i]
		}
		p.steps = -p.steps
		return true
	}),
	{regexp.MustCompile(`^(?:utc|gmt)?([+-])(2[0-4]|[01]?[0-9]):?([0-5][0-9])?`), func(p *dateParser, m []string) bool {
		seconds := 3600*digits(m[2]) + 60*digits(m[3])
		if m[1] == "-" {
			seconds = -seconds
		}
		return p.zone(time.FixedZone("", seconds))
	}},
	form(`[a-ik-z]`, func(p *dateParser, m []string) bool { // the zones of the military: a to m to the east, n to y to the west
		n := strings.IndexByte("abcdefghiklm", m[0][0]) + 1
		if west := strings.IndexByte("nopqrstuvwxy", m[0][0]); west >= 0 {
			n = -1 - west
		}
		return p.zone(time.FixedZone("", 3600*n))
	}),
	form(`utc|gmt|wet`, func(p *dateParser, _ []string) bool { return p.zone(time.UTC) }),
	form(`[ecmp][sd]t|cet|bst|west|eet|cest|eest|jst`, func(p *dateParser, m []string) bool {
		hours := map[string]int{"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7, "cet": 1, "bst": 1, "west": 1, "eet": 2,
			"cest": 2, "eest": 3, "jst": 9}[m[0]]
		return p.zone(time.FixedZone("", 3600*hours))
	}),
	{regexp.MustCompile(`^[a-z]+(?:[/_-][a-z_]+)+`), func(p *dateParser, m []string) bool {
		for _, capital := range []bool{true, false} { // names of zones have capitals that may be missing here
			if loc, err := time.LoadLocation(zoneName(m[0], capital)); err == nil {
				return p.zone(loc)
			}
		}
		return false
	}},
}

// word is a distance in words: "last month", "first monday", "this week".
func (p *dateParser) word(m []string) bool {
	n := 0
	switch m[1] {
	case "next":
		n = 1
	case "last", "previous":
		n = -1
	case "this":
	default:
		n = slices.Index(strings.Split(ordinals, "|"), m[1]) + 1
	}
	if strings.HasPrefix(m[2], "week") { // a weekday beside it is one of that week
		p.inWeek = true
	}
	if slices.Contains(strings.Split(weekdayNames, "|"), m[2]) {
		p.midnight()
	}
	return p.add(n, m[2])
}

func (p *dateParser) halfDay(hour, minute, second, half string) bool {
	h := digits(hour)
	if half != "" {
		if h < 1 || h > 12 {
			return false
		}
		if h %= 12; half == "p" {
			h += 12
		}
	}
	return p.time(h, digits(minute), digits(second))
}

// zoneName writes a zone as the database does: Europe/Zurich.
func zoneName(name string, capitals bool) string {
	b := []byte(name)
	for i := range b {
		if capitals && (i == 0 || strings.IndexByte("/_-", b[i-1]) >= 0) && 'a' <= b[i] && b[i] <= 'z' {
			b[i] -= 'a' - 'A'
		}
	}
	return string(b)
}
