package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// statistic answers with the counters of a project by day.
func (c *call) statistic() (php.Value, error) {
	from, err := c.statisticStart()
	if err != nil {
		return php.Null, err
	}
	days, err := c.h.o.Store.Statistics(c.r.Context(), c.project.ID, from)
	if err != nil {
		return php.Null, err
	}
	var total protection.DayStatistic
	byDate := php.NewArray()
	for _, d := range days {
		total.Valid += d.Valid
		total.Spam += d.Spam
		total.Delayed += d.Delayed
		total.Blocked += d.Blocked
		total.UpdatedAt = d.UpdatedAt // of the latest day
		byDate.SetString(d.Date.Format(time.DateOnly), php.Map(counters(d)...))
	}
	data := php.Map(counters(total)...)
	with(data, timePair("lastSubmissionAt", total.UpdatedAt), pair("numbersByDate", php.ArrayOf(byDate)))
	return php.Map(boolPair("result", true), pair("data", data)), nil
}

func counters(d protection.DayStatistic) []php.Pair {
	return []php.Pair{intPair("numberOfValidSubmissions", d.Valid), intPair("numberOfSpamSubmissions", d.Spam),
		intPair("numberOfDelayedRequests", d.Delayed), intPair("numberOfBlockedRequests", d.Blocked)}
}

// statisticStart is the moment from which days are wanted, the zero time for all.
func (c *call) statisticStart() (time.Time, error) {
	now := c.h.o.Store.Now()
	if v, ok := c.query.Get("startDate"); ok && !v.IsNull() {
		text, ok := v.Text()
		if !ok {
			return now, exception{status: http.StatusBadRequest}
		}
		start, ok := parseDate(text, now)
		switch {
		case !ok:
			return now, c.refuse("The start date has an invalid format. Excepted format: YYYY-MM-DD")
		case start.After(now):
			return now, c.refuse("The start date cannot be in the future.")
		}
		return start, nil
	}
	v, ok := c.query.Get("range")
	if !ok {
		return time.Time{}, nil
	}
	switch n := v.Intval(); {
	case v.Kind() == php.KindArray:
		return now, exception{status: http.StatusBadRequest}
	case n == 0:
		return now, c.refuse("Invalid range.")
	case n < 0:
		return time.Time{}, nil
	default:
		return now.Add(-seconds(n)), nil
	}
}

// parseDate reads the dates of which PHP's many forms clients make use: ISO dates and times, Unix times, and words such as
// today, yesterday, "-7 days" and "2 weeks ago".
func parseDate(text string, now time.Time) (time.Time, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch text {
	case "", "now":
		return now, true
	case "today", "midnight":
		return midnight, true
	case "yesterday":
		return midnight.AddDate(0, 0, -1), true
	case "tomorrow":
		return midnight.AddDate(0, 0, 1), true
	}
	if stamp, ok := strings.CutPrefix(text, "@"); ok {
		n, err := strconv.ParseInt(stamp, 10, 64)
		return time.Unix(n, 0).In(now.Location()), err == nil
	}
	upper := strings.ToUpper(text)
	for _, layout := range []string{"2006-1-2", "2006/1/2", "20060102", "2.1.2006", "1/2/2006", "2006-1-2 15:04", "2006-1-2 15:04:05",
		"2006-1-2T15:04:05", "2006-1-2T15:04", time.RFC3339Nano, "2006-01-02T15:04:05-0700", "2006-1-2 15:04:05Z07:00"} {
		if t, err := time.ParseInLocation(layout, upper, now.Location()); err == nil {
			return t.In(now.Location()), true
		}
	}
	return relativeDate(text, now)
}

func relativeDate(text string, now time.Time) (time.Time, bool) {
	text, ago := strings.CutSuffix(text, " ago")
	words := strings.Fields(text)
	if len(words) == 1 { // "-7days"
		if i := strings.IndexFunc(text, func(r rune) bool { return r >= 'a' && r <= 'z' }); i > 0 {
			words = []string{text[:i], text[i:]}
		}
	}
	if len(words) != 2 {
		return now, false
	}
	n, err := strconv.Atoi(words[0])
	if err != nil || n < -1_000_000 || n > 1_000_000 {
		return now, false
	}
	if ago {
		n = -n
	}
	switch strings.TrimSuffix(words[1], "s") {
	case "second", "sec":
		return now.Add(time.Duration(n) * time.Second), true
	case "minute", "min":
		return now.Add(time.Duration(n) * time.Minute), true
	case "hour":
		return now.Add(time.Duration(n) * time.Hour), true
	case "day":
		return now.AddDate(0, 0, n), true
	case "week":
		return now.AddDate(0, 0, 7*n), true
	case "month":
		return now.AddDate(0, n, 0), true
	case "year":
		return now.AddDate(n, 0, 0), true
	}
	return now, false
}
