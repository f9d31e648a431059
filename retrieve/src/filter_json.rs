//! How is the filter of a query written down in its receipt?

use cento_core::{Comparison, Filter, Membership, Scalar};
use serde_json::{Value, json};

/// The filter in the JSON that [`Filter::from_json`] reads, so that a receipt
/// can be asked again.
pub(crate) fn to_json(filter: &Filter) -> Value {
    let all = |filters: &[Filter]| filters.iter().map(to_json).collect::<Vec<_>>();
    match filter {
        Filter::Compare {
            field,
            comparison,
            value,
        } => {
            let kind = match comparison {
                Comparison::Eq => "eq",
                Comparison::Ne => "ne",
                Comparison::Gt => "gt",
                Comparison::Gte => "gte",
                Comparison::Lt => "lt",
                Comparison::Lte => "lte",
            };
            json!({"type": kind, "key": field.key(), "value": value.to_json()})
        }
        Filter::Member {
            field,
            membership,
            values,
        } => {
            let kind = match membership {
                Membership::In => "in",
                Membership::Nin => "nin",
            };
            let values: Vec<Value> = values.iter().map(Scalar::to_json).collect();
            json!({"type": kind, "key": field.key(), "value": values})
        }
        Filter::Exists { field } => json!({"type": "exists", "key": field.key()}),
        Filter::And(filters) => json!({"type": "and", "filters": all(filters)}),
        Filter::Or(filters) => json!({"type": "or", "filters": all(filters)}),
        Filter::Not(filter) => json!({"type": "not", "filter": to_json(filter)}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_as_the_same_filter() {
        let written = json!({"type": "and", "filters": [
            {"type": "eq", "key": "id", "value": "a.md"},
            {"type": "ne", "key": "metadata.id", "value": "x"},
            {"type": "gt", "key": "metadata.n", "value": 1},
            {"type": "gte", "key": "metadata.n", "value": 1.5},
            {"type": "not", "filter": {"type": "lt", "key": "metadata.n", "value": 2}},
            {"type": "or", "filters": [
                {"type": "lte", "key": "metadata.n", "value": -3},
                {"type": "in", "key": "metadata.tags", "value": ["a", "b"]},
                {"type": "nin", "key": "metadata.open", "value": [true]},
                {"type": "exists", "key": "metadata.team"},
            ]},
        ]});
        let filter = Filter::from_json(&written).expect("a filter");
        assert_eq!(to_json(&filter), written);
    }
}
