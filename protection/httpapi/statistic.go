package httpapi

import (
	"net/http"
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
		start, ok := php.ParseTime(text, now)
		switch {
		case !ok:
			return now, c.refuse("The start date has an invalid format. Excepted format: YYYY-MM-DD")
		case start.After(now):
			return now, c.refuse("The start date cannot be in the future.")
		case start.Year() < 1: // which no database knows
			return time.Time{}, nil
		}
		y, m, d := start.Date() // as it was written, whatever day that is here
		return time.Date(y, m, d, 12, 0, 0, 0, now.Location()), nil
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
