package cron

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Fields are the five time fields of a crontab line. The zero Fields never match.
type Fields struct {
	Text   string // as written
	Reboot bool   // "@reboot": at the start of the daemon only

	minute, hour, dom, month, dow uint64 // bit n: value n
	minuteStar, hourStar          bool   // the field begins with *: the entry follows the clock through its changes
	domStar, dowStar              bool
}

// nicknames are the fields that an @word stands for, with the flags vixie-cron gives them.
var nicknames = map[string]string{
	"yearly": "0 0 1 1 *", "annually": "0 0 1 1 *", "monthly": "0 0 1 * *", "weekly": "0 0 * * 0",
	"daily": "0 0 * * *", "midnight": "0 0 * * *", "hourly": "0 * * * *",
}

var (
	monthNames = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	dayNames   = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"}
)

// ParseFields reads "m h dom mon dow" or an @word as Debian's cron does.
func ParseFields(text string) (Fields, error) {
	text = strings.TrimSpace(text)
	if word, ok := strings.CutPrefix(text, "@"); ok {
		if word == "reboot" {
			return Fields{Text: text, Reboot: true}, nil
		}
		plain, ok := nicknames[word]
		if !ok {
			return Fields{}, fmt.Errorf("@%s is not known", word)
		}
		f, err := ParseFields(plain)
		f.Text = text
		return f, err
	}
	parts := strings.Fields(text)
	if len(parts) != 5 {
		return Fields{}, fmt.Errorf("%d time fields instead of 5", len(parts))
	}
	f := Fields{Text: strings.Join(parts, " ")}
	for i, spec := range []struct {
		name     string
		bits     *uint64
		star     *bool
		min, max int
		names    []string
		first    int // value of names[0]
	}{
		{"minute", &f.minute, &f.minuteStar, 0, 59, nil, 0},
		{"hour", &f.hour, &f.hourStar, 0, 23, nil, 0},
		{"day of month", &f.dom, &f.domStar, 1, 31, nil, 0},
		{"month", &f.month, new(bool), 1, 12, monthNames, 1},
		{"day of week", &f.dow, &f.dowStar, 0, 7, dayNames, 0},
	} {
		set, err := parseField(parts[i], spec.min, spec.max, spec.names, spec.first)
		if err != nil {
			return Fields{}, fmt.Errorf("%s %q: %w", spec.name, parts[i], err)
		}
		*spec.bits, *spec.star = set, strings.HasPrefix(parts[i], "*")
	}
	if f.dow&(1<<7|1) != 0 { // both 0 and 7 are Sunday
		f.dow |= 1<<7 | 1
	}
	return f, nil
}

// parseField reads one field: numbers, names, ranges, steps, separated by commas.
func parseField(s string, low, high int, names []string, first int) (uint64, error) {
	var set uint64
	for item := range strings.SplitSeq(s, ",") {
		span, stepText, stepped := strings.Cut(item, "/")
		from, to := low, high
		isRange := span == "*"
		if !isRange {
			a, b, dash := strings.Cut(span, "-")
			var err error
			if from, err = parseValue(a, names, first); err != nil {
				return 0, err
			}
			to, isRange = from, dash
			if dash {
				if to, err = parseValue(b, names, first); err != nil {
					return 0, err
				}
			}
		}
		if from < low || to > high || from > to {
			return 0, fmt.Errorf("outside of %d-%d, or upside down", low, high)
		}
		step := 1
		if stepped {
			n, err := strconv.Atoi(stepText)
			if err != nil || n < 1 || !isRange {
				return 0, errors.New("a step is a number of at least 1, after a range or *")
			}
			step = n
		}
		for v := from; v <= to; v += step {
			set |= 1 << v
			if step > high {
				break
			}
		}
	}
	return set, nil
}

func parseValue(s string, names []string, first int) (int, error) {
	for i, name := range names {
		if strings.EqualFold(s, name) {
			return i + first, nil
		}
	}
	if len(s) == 0 || len(s) > 2 || strings.Trim(s, "0123456789") != "" {
		return 0, errors.New("not a number in range")
	}
	return strconv.Atoi(s)
}

// wild reports whether cron treats the entry as following the clock: a skipped hour is not made up for, a repeated one runs again.
func (f Fields) wild() bool { return f.minuteStar || f.hourStar }

// day reports whether the entry may run on that day. dow is 0 for Sunday.
func (f Fields) day(dom, month, dow int) bool {
	if f.month>>month&1 == 0 {
		return false
	}
	inMonth, inWeek := f.dom>>dom&1 == 1, f.dow>>dow&1 == 1
	if f.domStar || f.dowStar {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}

// each calls yield for every minute of the day at which the entry matches, in order.
func (f Fields) each(yield func(minuteOfDay int)) {
	for hours := f.hour; hours != 0; hours &= hours - 1 {
		h := bits.TrailingZeros64(hours)
		for minutes := f.minute; minutes != 0; minutes &= minutes - 1 {
			yield(h*60 + bits.TrailingZeros64(minutes))
		}
	}
}
