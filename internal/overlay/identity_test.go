package overlay

import "slices"

// The model of a merge of several forks: plain values with a number each. An
// edit is resolved on a private copy of the base, and done to the field of the
// same number in the list that all forks are merged into.

type numbered struct {
	modelField
	number int
}

type identityModel struct {
	list   []numbered // deleted ones stay in it, marked
	number int        // the last one given
}

func newIdentityModel(fields []Field) *identityModel {
	m := &identityModel{}
	for _, f := range newModel(fields).fields {
		m.number++
		m.list = append(m.list, numbered{f, m.number})
	}
	return m
}

func (m *identityModel) clone() []numbered { return slices.Clone(m.list) }

// merge plays the edits of one fork, which was made when the list was base.
func (m *identityModel) merge(base []numbered, edits []Edit) {
	mine := slices.DeleteFunc(slices.Clone(base), func(f numbered) bool { return f.gone })
	at := func(list []numbered, number int) int {
		return slices.IndexFunc(list, func(f numbered) bool { return f.number == number })
	}
	add := func(e Edit) {
		m.number++
		f := numbered{modelField{name: e.Name, value: e.Value}, m.number}
		mine, m.list = append(mine, f), append(m.list, f)
	}
	for _, e := range edits {
		switch {
		case e.Kind == Add, e.Kind == Insert && e.Index >= len(mine):
			add(e)
		case e.Kind == Insert:
			m.number++
			f := numbered{modelField{name: e.Name, value: e.Value}, m.number}
			place := max(e.Index, 0)
			behind := -1 // at -1+1 of the list: the top
			if place > 0 {
				behind = at(m.list, mine[place-1].number)
			}
			mine = slices.Insert(mine, place, f)
			m.list = slices.Insert(m.list, behind+1, f)
		default:
			left := max(e.Index, 1)
			i := slices.IndexFunc(mine, func(f numbered) bool {
				if !f.hidden && modelName(f.name) == modelName(e.Name) {
					left--
				}
				return left == 0
			})
			remove := e.Kind == Delete || e.Value == ""
			switch {
			case i < 0 && !remove:
				add(e)
			case i < 0:
			case remove:
				m.list[at(m.list, mine[i].number)].gone = true
				mine = slices.Delete(mine, i, i+1)
			default:
				f := numbered{modelField{name: e.Name, value: e.Value}, mine[i].number}
				m.list[at(m.list, f.number)], mine[i] = f, f
			}
		}
	}
}

// full is as model.full.
func (m *identityModel) full() string {
	plain := &model{}
	for _, f := range m.list {
		plain.fields = append(plain.fields, f.modelField)
	}
	return plain.full()
}
