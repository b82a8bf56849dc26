package minimesos

import (
	"fmt"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// ParseDomain reads a fault domain written as region/zone; nil for an empty text.
func ParseDomain(text string) (*mesos.DomainInfo, error) {
	if text == "" {
		return nil, nil
	}
	region, zone, ok := strings.Cut(text, "/")
	if !ok || region == "" || zone == "" {
		return nil, fmt.Errorf("fault domain %q is not region/zone", text)
	}
	return &mesos.DomainInfo{FaultDomain: &mesos.DomainInfo_FaultDomain{
		Region: mesos.DomainInfo_FaultDomain_RegionInfo{Name: region}, Zone: mesos.DomainInfo_FaultDomain_ZoneInfo{Name: zone}}}, nil
}
