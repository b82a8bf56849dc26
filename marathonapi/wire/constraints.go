package wire

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"stadion/core"
)

const (
	textConstraintLength   = "Each constraint must have either 2 or 3 fields"
	textConstraintOperator = "operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, MAX_PER, UNLIKE or IS"
	textConstraintIllegal  = "illegal constraint specification"
	textBadPattern         = "is not a valid regular expression"
)

// operators says what each operator accepts as a value; empty text means accepted (http-api.md 4.11.8).
var operators = map[string]func(value string, given bool) string{
	"UNIQUE":   func(_ string, given bool) string { return unless(!given, "UNIQUE does not accept a value") },
	"CLUSTER":  func(string, bool) string { return "" },
	"GROUP_BY": groupByValue,
	"MAX_PER": func(v string, given bool) string {
		return unless(given && isInteger(v), "MAX_PER requires an integer value")
	},
	"LIKE":   patternValue,
	"UNLIKE": patternValue,
	"IS": func(v string, _ bool) string {
		return unless(mesosText.MatchString(v), "IS only supports Mesos text and float values "+
			"(see http://mesos.apache.org/documentation/latest/attributes-resources/)")
	},
}

// operatorWords are the operators in canonical spelling, for enumerations.
var operatorWords = []string{"UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER", "IS"}

// mesosText is a Mesos attribute value that is text or a scalar, not a range or a set.
var mesosText = regexp.MustCompile(`^[a-zA-Z0-9_/.\-]*$`)

func unless(ok bool, text string) string {
	if ok {
		return ""
	}
	return text
}

func isInteger(s string) bool {
	_, err := strconv.ParseInt(s, 10, 32)
	return err == nil
}

func groupByValue(v string, given bool) string {
	return unless(!given || isInteger(v), "GROUP BY must define an integer value or else no value at all")
}

func patternValue(v string, given bool) string {
	if !given {
		return "LIKE and UNLIKE require a non-empty, regular expression value"
	}
	// The dialect is RE2, matched against the whole value (D-15).
	_, err := regexp.Compile("^(?:" + v + ")$")
	return unless(err == nil, textBadPattern)
}

// makeConstraint builds a constraint from its list form, or says what is wrong with it.
func makeConstraint(c []string, check func(core.Constraint) string) (core.Constraint, string) {
	if len(c) < 2 || len(c) > 3 {
		return core.Constraint{}, textConstraintLength
	}
	out := core.Constraint{Field: c[0], Operator: c[1]}
	if len(c) == 3 {
		out.Value, out.HasValue = c[2], true
	}
	return out, check(out)
}

// constraintChecks is checkConstraint for the constraints of one definition: equal ones compile their pattern once.
func constraintChecks() func(core.Constraint) string {
	known := make(map[core.Constraint]string)
	return func(c core.Constraint) string {
		text, found := known[c]
		if !found {
			text = checkConstraint(c)
			known[c] = text
		}
		return text
	}
}

func checkConstraint(c core.Constraint) string {
	check, known := operators[c.Operator]
	switch {
	case known && c.Field == "":
		return textConstraintIllegal
	case known:
		return check(c.Value, c.HasValue)
	case slices.Contains(operatorWords, strings.ToUpper(c.Operator)):
		// Marathon's rules let a lower-case operator pass and its conversion then fails (http-api.md 4.11.9, 18).
		return textConstraintIllegal + ": operator " + c.Operator + " must be written in upper case"
	}
	return textConstraintOperator
}

// volumeConstraint builds a constraint on where a persistent volume may lie. Only its path can be asked for.
func volumeConstraint(c []string) (core.Constraint, string) {
	if len(c) == 0 {
		return core.Constraint{}, "Missing field and operator"
	}
	if len(c) < 3 || c[0] != "path" {
		return core.Constraint{}, "Unsupported constraint " + strings.Join(c, ",")
	}
	switch op := c[1]; {
	case !slices.Contains(operatorWords, op):
		return core.Constraint{}, "unknown constraint operator " + op
	case op != "LIKE" && op != "UNLIKE":
		return core.Constraint{}, "Operator must be one of LIKE, UNLIKE"
	case op == "UNLIKE":
		// Marathon's rules let it pass and its conversion then fails (http-api.md 18).
		return core.Constraint{}, "illegal volume constraint " + strings.Join(c, ",")
	}
	return core.Constraint{Field: c[0], Operator: c[1], Value: c[2], HasValue: true}, patternValue(c[2], true)
}
