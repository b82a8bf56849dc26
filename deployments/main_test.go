package deployments

import (
	"flag"
	"os"
	"testing"
)

// schedules is how many random schedules each property gets unless -rapid.checks says otherwise: with the worlds of
// core/simulation more than ten thousand in every run.
const schedules = "5000"

func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked {
		if err := flag.Set("rapid.checks", schedules); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
