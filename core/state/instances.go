package state

import "stadion/core"

// PutInstance stores an instance and brings the counters up to date. It returns the row before, nil without.
func (s *State) PutInstance(i *core.Instance) (old *core.Instance) {
	old = s.setInstance(i)
	if i.Durable() || old != nil && old.Durable() {
		s.note(TableInstance, string(i.ID), i)
	}
	return old
}

// RemoveInstance forgets an instance and its health.
func (s *State) RemoveInstance(id core.InstanceID) {
	old, ok := s.instances.Delete(id)
	if !ok {
		return
	}
	s.use(old.Spec, old.Version, -1)
	s.waiting.Delete(id)
	s.recount(old.Spec, s.weigh(old), Counts{})
	s.touch(old.Spec)
	s.health.Delete(id)
	s.DropLastAlive(id)
	if old.Durable() {
		s.note(TableInstance, string(id), nil)
	}
}

func (s *State) setInstance(i *core.Instance) *core.Instance {
	old, had := s.instances.Set(i.ID, i)
	var before Counts
	if had {
		before = s.weigh(old)
	}
	if !had || old.Version != i.Version {
		s.use(i.Spec, i.Version, 1)
		if had {
			s.use(old.Spec, old.Version, -1)
		}
	}
	s.touch(i.Spec)
	if i.Scheduled() {
		if !had || !old.Scheduled() {
			s.waiting.Set(i.ID, struct{}{})
		}
	} else if had && old.Scheduled() {
		s.waiting.Delete(i.ID)
	}
	s.recount(i.Spec, before, s.weigh(i))
	if !had {
		return nil
	}
	return old
}

// PutHealth keeps the health of an instance (volatile) and brings the counters up to date; nil drops it.
func (s *State) PutHealth(id core.InstanceID, b *HealthBook) {
	i, ok := s.instances.Get(id)
	if !ok {
		return
	}
	s.touch(i.Spec)
	before := s.weigh(i)
	if b == nil {
		s.health.Delete(id)
	} else {
		s.health.Set(id, b)
	}
	s.recount(i.Spec, before, s.weigh(i))
}

// SetLastAlive stores the health flag that survives a failover (D-45).
func (s *State) SetLastAlive(id core.InstanceID, alive bool) {
	if was, known := s.lastAlive.Get(id); known && was == alive {
		return
	}
	s.lastAlive.Set(id, alive)
	s.note(TableHealth, string(id), alive)
}

// DropLastAlive forgets the stored health flag of an instance whose tasks ended.
func (s *State) DropLastAlive(id core.InstanceID) {
	if _, had := s.lastAlive.Delete(id); had {
		s.note(TableHealth, string(id), nil)
	}
}

// weigh is what one instance adds to the counters of its spec.
func (s *State) weigh(i *core.Instance) Counts {
	c := Counts{Instances: 1}
	if i.Scheduled() {
		c.Waiting = 1
	}
	if i.Goal == core.GoalRunning && i.Condition == core.Provisioned {
		c.Provisioned = 1
	}
	if len(i.Tasks) == 0 || i.Agent == nil || i.Condition.Terminal() || i.Condition == core.Scheduled {
		return c
	}
	st := i.Tasks[0].Status
	switch {
	case st == nil || st.State == "TASK_STAGING":
		c.Staged = 1
	case st.State == "TASK_RUNNING":
		c.Running = 1
	}
	if b, ok := s.health.Get(i.ID); ok {
		if some, alive := b.Any(); some && alive {
			c.Healthy = 1
		} else if some {
			c.Unhealthy = 1
		}
	}
	return c
}

func (s *State) recount(spec core.PathID, minus, plus Counts) {
	if minus == plus {
		return
	}
	c, _ := s.counts.Get(spec)
	c.Instances += plus.Instances - minus.Instances
	c.Waiting += plus.Waiting - minus.Waiting
	c.Provisioned += plus.Provisioned - minus.Provisioned
	c.Staged += plus.Staged - minus.Staged
	c.Running += plus.Running - minus.Running
	c.Healthy += plus.Healthy - minus.Healthy
	c.Unhealthy += plus.Unhealthy - minus.Unhealthy
	s.staged += plus.Staged - minus.Staged
	s.running += plus.Running - minus.Running
	if c.Instances == 0 {
		s.counts.Delete(spec)
		return
	}
	s.counts.Set(spec, c)
}
