//! Random runs of sessions.

use proptest::prelude::*;

use crate::machine::live;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_session_keeps_its_invariants(script in prop::collection::vec(any::<u8>(), 0..400)) {
        live(&script);
    }

    #[test]
    fn long_runs_without_faults_lose_nothing(
        kind in any::<u8>(),
        steps in prop::collection::vec(prop_oneof![0..12_u8, 14..18_u8, 29..35_u8, Just(38), Just(39)], 0..400),
    ) {
        live(&[&[kind], &steps[..]].concat());
    }
}
