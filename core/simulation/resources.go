package simulation

import (
	"fmt"
	"math"
	"slices"

	"stadion/offers"
)

// amount is what a resource holds: a scalar in thousandths, or a number of ports.
func amount(list []offers.Resource) (n int64) {
	for _, r := range list {
		n += int64(math.Round(r.Value * 1000))
		for _, g := range r.Ranges {
			n += int64(g.End-g.Begin+1) * 1000
		}
	}
	return n
}

// take removes resources that must all be there (I7).
func take(left, need []offers.Resource) ([]offers.Resource, error) {
	for _, r := range need {
		one := []offers.Resource{r}
		rest := offers.Subtract(left, one)
		if amount(left)-amount(rest) != amount(one) {
			return nil, fmt.Errorf("%+v is not there", r)
		}
		left = rest
	}
	return left, nil
}

// exchange replaces resources by the same in another form.
func exchange(left, from, to []offers.Resource) ([]offers.Resource, error) {
	rest, err := take(left, from)
	if err != nil {
		return nil, err
	}
	return merge(append(slices.Clone(rest), to...)), nil
}

// merge adds up what is of one kind, as offers show it.
func merge(list []offers.Resource) []offers.Resource {
	var out []offers.Resource
	for _, r := range list {
		k := slices.IndexFunc(out, func(o offers.Resource) bool { return kind(o) == kind(r) })
		if k < 0 || r.Disk != nil {
			out = append(out, r)
			continue
		}
		out[k].Value = math.Round((out[k].Value+r.Value)*1000) / 1000
		out[k].Ranges = append(slices.Clone(out[k].Ranges), r.Ranges...)
	}
	return out
}

func kind(r offers.Resource) string {
	return fmt.Sprintf("%s %v %v", r.Name, r.Reservations, r.Disk)
}

// unreserved is a list without the innermost reservation.
func unreserved(list []offers.Resource) []offers.Resource {
	out := slices.Clone(list)
	for i := range out {
		if n := len(out[i].Reservations); n > 0 {
			out[i].Reservations = slices.Clone(out[i].Reservations[:n-1])
			if n == 1 {
				out[i].Reservations = nil
			}
		}
	}
	return out
}

// plain is a list of disks without their volumes.
func plain(list []offers.Resource) []offers.Resource {
	out := slices.Clone(list)
	for i := range out {
		out[i].Disk = nil
	}
	return out
}

// reservationID is the instance that a resource is reserved for, empty without.
func reservationID(r offers.Resource) string {
	for _, v := range r.Reservations {
		for _, l := range v.Labels {
			if l.Key == "marathon_task_id" {
				return l.Value
			}
		}
	}
	return ""
}
