package mesos

import (
	"fmt"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	scheduler "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"stadion/core"
	"stadion/offers"
)

// decoded is one record of the stream. At most one field is set; none for what is ignored (heartbeats, unknown types).
type decoded struct {
	event      offers.Event
	subscribed *scheduler.Event_Subscribed
	failure    string // text of an ERROR event
}

// decoder turns records of a stream into events. Not for concurrent use.
type decoder struct {
	in  *interned
	now func() core.Timestamp
}

// decode reads one record. Unknown event types are ignored, as newer masters may send them.
func (d *decoder) decode(record []byte) (decoded, error) {
	kind, update, err := eventKind(record)
	if err != nil {
		return decoded{}, err
	}
	switch kind {
	case scheduler.Event_HEARTBEAT:
		return decoded{}, nil
	case scheduler.Event_UPDATE:
		u, err := decodeUpdate(update, d.in)
		if err != nil {
			return decoded{}, fmt.Errorf("decode UPDATE: %w", err)
		}
		return decoded{event: u}, nil
	}
	if _, known := scheduler.Event_Type_name[int32(kind)]; !known {
		return decoded{}, nil
	}
	var e scheduler.Event
	if err := e.Unmarshal(record); err != nil {
		return decoded{}, fmt.Errorf("decode %s: %w", kind, err)
	}
	return d.convert(&e), nil
}

// eventKind reads the type of an event, and the message of an update.
func eventKind(record message) (kind scheduler.Event_Type, update message, err error) {
	var f field
	for {
		ok, err := record.next(&f)
		if err != nil {
			return 0, nil, fmt.Errorf("decode event: %w", err)
		}
		if !ok {
			return kind, update, nil
		}
		switch {
		case f.num == 1 && f.typ == wireVarint:
			kind = scheduler.Event_Type(f.val)
		case f.num == 5 && f.typ == wireBytes:
			update = f.data
		}
	}
}

func (d *decoder) convert(e *scheduler.Event) decoded {
	switch e.Type {
	case scheduler.Event_SUBSCRIBED:
		if e.Subscribed == nil {
			e.Subscribed = &scheduler.Event_Subscribed{}
		}
		return decoded{subscribed: e.Subscribed}
	case scheduler.Event_ERROR:
		text := e.GetError().GetMessage()
		if text == "" {
			text = "the master gave no reason"
		}
		return decoded{failure: text}
	case scheduler.Event_OFFERS:
		list := e.GetOffers().GetOffers()
		out := offers.Received{Offers: make([]offers.Offer, len(list))}
		for i := range list {
			out.Offers[i] = d.offer(&list[i])
		}
		return decoded{event: out}
	case scheduler.Event_RESCIND:
		return decoded{event: offers.Rescinded{OfferID: e.GetRescind().GetOfferID().Value}}
	case scheduler.Event_INVERSE_OFFERS:
		var out offers.InverseOffers
		for _, o := range e.GetInverseOffers().GetInverseOffers() {
			out.IDs = append(out.IDs, o.OfferID.Value)
		}
		return decoded{event: out}
	case scheduler.Event_FAILURE:
		f := e.GetFailure()
		return decoded{event: offers.Failure{
			AgentID: f.GetAgentID().GetValue(), ExecutorID: f.GetExecutorID().GetValue(), Status: failureStatus(f),
		}}
	case scheduler.Event_MESSAGE:
		m := e.GetMessage()
		agent, executor := m.GetAgentID(), m.GetExecutorID()
		return decoded{event: offers.Message{AgentID: agent.Value, ExecutorID: executor.Value, Data: m.GetData()}}
	default:
		// RESCIND_INVERSE_OFFER: an answer to a dead one is harmless. UPDATE_OPERATION_STATUS: no operation id is ever given.
		return decoded{}
	}
}

func failureStatus(f *scheduler.Event_Failure) *int32 {
	if f == nil {
		return nil
	}
	return f.Status
}

func (d *decoder) offer(o *mesos.Offer) offers.Offer {
	out := offers.Offer{
		ID:          o.ID.Value,
		FrameworkID: o.FrameworkID.Value,
		Role:        o.GetAllocationInfo().GetRole(),
		Resources:   make([]offers.Resource, 0, len(o.Resources)),
		ReceivedAt:  d.now(),
	}
	region, zone := faultDomain(o.Domain)
	out.Agent, out.Attributes = d.in.agent(&core.AgentInfo{
		Host: o.Hostname, ID: o.AgentID.Value, Region: region, Zone: zone, Attributes: attributes(o.Attributes),
	}, o.Attributes)
	for i := range o.Resources {
		if r, ok := fromResource(&o.Resources[i]); ok {
			out.Resources = append(out.Resources, r)
		}
	}
	if u := o.Unavailability; u != nil {
		out.Unavailability = &offers.Unavailability{Start: core.Timestamp(u.Start.Nanoseconds / 1e6)}
		if u.Duration != nil {
			out.Unavailability.Duration = u.Duration.Nanoseconds / 1e6
		}
	}
	for _, id := range o.ExecutorIDs {
		out.ExecutorIDs = append(out.ExecutorIDs, id.Value)
	}
	return out
}

func faultDomain(d *mesos.DomainInfo) (region, zone string) {
	f := d.GetFaultDomain()
	if f == nil {
		return "", ""
	}
	return f.Region.Name, f.Zone.Name
}
