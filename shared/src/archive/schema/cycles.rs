//! Finding the objects that need each other.

/// Tarjan's strongly connected components, without recursion (thousands of tables, one long chain).
pub(in crate::archive) fn strong_components(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let mut index = vec![UNSEEN; needs.len()];
    let mut low = vec![0; needs.len()];
    let mut on_stack = vec![false; needs.len()];
    let mut stack = Vec::new();
    let mut components = Vec::new();
    let mut next = 0;
    for root in 0..needs.len() {
        if index[root] != UNSEEN {
            continue;
        }
        let mut work = vec![(root, 0)];
        while let Some((at, child)) = work.pop() {
            if child == 0 {
                index[at] = next;
                low[at] = next;
                next += 1;
                stack.push(at);
                on_stack[at] = true;
            }
            if let Some(to) = needs[at].get(child).copied() {
                work.push((at, child + 1));
                if index[to] == UNSEEN {
                    work.push((to, 0));
                } else if on_stack[to] {
                    low[at] = low[at].min(index[to]);
                }
                continue;
            }
            if low[at] == index[at] {
                let start = stack.iter().rposition(|member| *member == at).unwrap_or(0);
                let component = stack.split_off(start);
                for member in &component {
                    on_stack[*member] = false;
                }
                components.push(component);
            }
            if let Some((parent, _)) = work.last() {
                low[*parent] = low[*parent].min(low[at]);
            }
        }
    }
    components
}

/// Who is needed by whom, from who needs whom.
pub(super) fn reversed(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut needed_by = vec![Vec::new(); needs.len()];
    for (at, list) in needs.iter().enumerate() {
        for need in list {
            needed_by[*need].push(at);
        }
    }
    needed_by
}

#[cfg(test)]
mod tests {
    use super::strong_components;

    fn cycles(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
        let mut found: Vec<Vec<usize>> =
            strong_components(needs).into_iter().filter(|members| members.len() > 1).collect();
        found.iter_mut().for_each(|members| members.sort_unstable());
        found.sort();
        found
    }

    #[test]
    fn a_tree_has_no_cycle() {
        assert!(cycles(&[vec![1, 2], vec![3], vec![3], vec![]]).is_empty());
    }

    #[test]
    fn two_cycles_that_share_no_object_are_two() {
        assert_eq!(
            cycles(&[vec![1], vec![2], vec![0, 3], vec![4], vec![3], vec![0]]),
            [vec![0, 1, 2], vec![3, 4]]
        );
    }

    #[test]
    fn two_cycles_that_share_an_object_are_one() {
        assert_eq!(cycles(&[vec![1], vec![0, 2], vec![1]]), [vec![0, 1, 2]]);
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_does_not_overflow_the_stack() {
        let length = 100_000;
        let mut needs: Vec<Vec<usize>> = (0..length).map(|at| vec![at + 1]).collect();
        needs.push(vec![0]);
        assert_eq!(cycles(&needs)[0].len(), length + 1);
    }
}
