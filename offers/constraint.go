package offers

import (
	"math"
	"regexp"
	"strconv"

	"stadion/core"
)

// The fields with a meaning of their own; every other name is an agent attribute (behaviour.md 5.5.1).
const (
	fieldHost   = "hostname"
	fieldHostAt = "@hostname"
	fieldRegion = "@region"
	fieldZone   = "@zone"
)

// fieldValue is the value of a field on an agent and whether the agent has it.
func fieldValue(a *core.AgentInfo, field string) (string, bool) {
	switch {
	case a == nil:
		return "", false
	case field == fieldHost || field == fieldHostAt:
		return a.Host, true
	case field == fieldRegion:
		return a.Region, a.Region != ""
	case field == fieldZone:
		return a.Zone, a.Zone != ""
	}
	for i := range a.Attributes {
		if a.Attributes[i].Name == field {
			return a.Attributes[i].Value, true
		}
	}
	return "", false
}

// constraint is a compiled placement constraint.
type constraint struct {
	field  string
	value  string
	op     *operator
	regex  func(string) bool // LIKE, UNLIKE; nil: the stored pattern is unusable and matches nothing (D-15)
	number int               // GROUP_BY, MAX_PER; 0: none given
}

// operator is one row of the table of behaviour.md 5.5.2.
type operator struct {
	// counts: the operator looks at where other instances of the spec are.
	counts bool
	// missing is the verdict for an agent without the field.
	missing bool
	// prepare reads the value once; nil where the text is used as it is.
	prepare func(*constraint)
	// match decides on the value v of the offer's agent; t is nil unless counts.
	match func(c *constraint, v string, t *tally, n crowd) bool
}

// crowd is how many instances there are: those placed, and those the spec of the placed ones wants.
type crowd struct{ placed, wanted int }

var operators = map[string]*operator{
	"UNIQUE":   {counts: true, match: matchUnique},
	"CLUSTER":  {counts: true, match: matchCluster},
	"GROUP_BY": {counts: true, prepare: prepareNumber, match: matchGroupBy},
	"MAX_PER":  {counts: true, prepare: prepareNumber, match: matchMaxPer},
	"LIKE":     {prepare: prepareRegex, match: matchLike},
	"UNLIKE":   {missing: true, prepare: prepareRegex, match: matchUnlike},
	"IS":       {prepare: prepareIs, match: matchIs},
}

// never stands for an operator nobody knows: a stored definition with it stays readable but is not placed.
var never = &operator{match: func(*constraint, string, *tally, crowd) bool { return false }}

func compileConstraints(list []core.Constraint) []constraint {
	if len(list) == 0 {
		return nil
	}
	out := make([]constraint, len(list))
	for i, l := range list {
		c := &out[i]
		*c = constraint{field: l.Field, value: l.Value, op: operators[l.Operator]}
		if c.op == nil {
			c.op = never
		}
		if c.op.prepare != nil {
			c.op.prepare(c)
		}
	}
	return out
}

func prepareNumber(c *constraint) {
	if c.value == "inf" {
		c.number = math.MaxInt
		return
	}
	if n, err := strconv.Atoi(c.value); err == nil && n > 0 {
		c.number = n
	}
}

func prepareRegex(c *constraint) { c.regex = wholeMatch(c.value) }

// wholeMatch compiles an RE2 pattern that must match the whole string (D-15). Plain text is compared directly. The
// result is nil when RE2 does not know the syntax.
func wholeMatch(pattern string) func(string) bool {
	plain, err := regexp.Compile(pattern)
	if err != nil {
		return nil
	}
	if text, complete := plain.LiteralPrefix(); complete {
		return func(s string) bool { return s == text }
	}
	whole, err := regexp.Compile(`^(?:` + pattern + `)$`)
	if err != nil {
		return nil
	}
	return whole.MatchString
}

// ValidPattern reports whether LIKE and UNLIKE can use the pattern (D-15): the API refuses others.
func ValidPattern(pattern string) bool { return wholeMatch(pattern) != nil }

var plainNumber = regexp.MustCompile(`^\d+(\.\d+)?$`)

// prepareIs formats numbers as SCALAR attributes are, so that IS 1.0 meets the attribute 1 (behaviour.md 5.5.2).
func prepareIs(c *constraint) {
	if plainNumber.MatchString(c.value) {
		if f, err := strconv.ParseFloat(c.value, 64); err == nil {
			c.value = FormatScalar(f)
		}
	}
}

func matchUnique(_ *constraint, v string, t *tally, _ crowd) bool { return t.groups[v] == 0 }

func matchCluster(c *constraint, v string, t *tally, n crowd) bool {
	if c.value != "" {
		return v == c.value
	}
	return n.placed == 0 || t.first() == v && t.groups[v] > 0
}

func matchMaxPer(c *constraint, v string, t *tally, _ crowd) bool { return t.groups[v] < c.number }
func matchLike(c *constraint, v string, _ *tally, _ crowd) bool   { return c.regex != nil && c.regex(v) }
func matchUnlike(c *constraint, v string, _ *tally, _ crowd) bool {
	return c.regex != nil && !c.regex(v)
}
func matchIs(c *constraint, v string, _ *tally, _ crowd) bool { return v == c.value }

// matchGroupBy is behaviour.md 5.5.2a; without a value the rule of D-16.
func matchGroupBy(c *constraint, v string, t *tally, n crowd) bool {
	count := t.groups[v]
	if c.number == 0 {
		return count == 0 || count == t.min
	}
	if count == 0 {
		return t.distinct() < c.number
	}
	per, rem := n.wanted/c.number, n.wanted%c.number
	return count < per || count == per && rem > t.above(per)
}

// unmet reports whether the agent breaks some constraint, given where the others are. wanted is the instance count
// of the spec of the placed instances.
func (c *Compiled) unmet(agent *core.AgentInfo, counts *Counts, wanted int) bool {
	for i := range c.constraints {
		k := &c.constraints[i]
		v, ok := fieldValue(agent, k.field)
		if !ok {
			// An unusable pattern matches nothing, not even an agent without the field (D-15).
			if !k.op.missing || k.regex == nil {
				return true
			}
			continue
		}
		var t *tally
		var n crowd
		if k.op.counts {
			t, n = &counts.tallies[i], crowd{counts.total, wanted}
		}
		if !k.op.match(k, v, t, n) {
			return true
		}
	}
	return false
}
