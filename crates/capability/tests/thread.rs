//! Changes the sets of throw-away threads: capabilities belong to a thread, so each test has its own.

use std::thread;

use capability::{CapSet, Capability, Sets, drop_bounding, raise_ambient, set_process_sets};

fn in_a_thread<Answer: Send + 'static>(work: impl FnOnce(Sets) -> Answer + Send + 'static) -> Answer {
    thread::spawn(|| {
        let own = Sets::of_self().expect("own capabilities");
        assert!(own.effective.contains(Capability::SETPCAP), "this test must run as root (CAP_SETPCAP)");
        work(own)
    })
    .join()
    .expect("the thread ends well")
}

fn names(text: &str) -> CapSet {
    let (set, unknown) = CapSet::from_names(text.split(','));
    assert!(unknown.is_empty(), "{unknown:?}");
    set
}

#[test]
fn all_five_sets_are_applied_and_read_back() {
    let some = names("chown,kill,net_bind_service");
    let asked = Sets {
        effective: names("kill"),
        permitted: some,
        inheritable: some,
        bounding: some | names("mknod"),
        ambient: names("chown"),
    };
    in_a_thread(move |_| {
        assert_eq!(asked.apply().unwrap(), Sets::default());
        assert_eq!(Sets::of_self().unwrap(), asked);
    });
}

#[test]
fn what_may_not_be_raised_is_returned_not_fatal() {
    in_a_thread(|own| {
        let few = names("kill,setpcap");
        set_process_sets(few, few, CapSet::EMPTY).unwrap();
        let everything = Sets {
            effective: CapSet::all(),
            permitted: CapSet::all(),
            inheritable: CapSet::all(),
            bounding: CapSet::all(),
            ambient: CapSet::all(),
        };
        let refused = everything.apply().unwrap();
        assert_eq!(refused.effective, CapSet::all() - few);
        assert_eq!(refused.permitted, CapSet::all() - few);
        assert_eq!(refused.inheritable, CapSet::all() - own.bounding);
        assert_eq!(refused.bounding, CapSet::all() - own.bounding);
        assert_eq!(refused.ambient, CapSet::all() - few);
    });
}

#[test]
fn inheritable_needs_setpcap_beyond_the_permitted() {
    in_a_thread(|_| {
        let kill = names("kill");
        set_process_sets(kill, kill, CapSet::EMPTY).unwrap();
        let refused = set_process_sets(kill, kill, names("kill,chown")).unwrap();
        assert_eq!(refused.inheritable, names("chown"));
        assert_eq!(Sets::of_self().unwrap().inheritable, kill);
    });
}

#[test]
fn bits_beyond_the_kernels_last_are_refused_by_name() {
    in_a_thread(|own| {
        let unknown = CapSet::from(Capability::from_number(63).unwrap());
        assert_eq!(drop_bounding(own.bounding | unknown).unwrap(), unknown);
        assert_eq!(raise_ambient(unknown).unwrap(), unknown);
        let refused = set_process_sets(own.effective, own.permitted | unknown, unknown).unwrap();
        assert_eq!(refused.permitted, unknown);
        assert_eq!(refused.inheritable, unknown);
    });
}

#[test]
fn dropping_without_setpcap_is_an_error_that_says_so() {
    in_a_thread(|_| {
        set_process_sets(CapSet::EMPTY, CapSet::EMPTY, CapSet::EMPTY).unwrap();
        let error = drop_bounding(CapSet::EMPTY).unwrap_err().to_string();
        assert!(error.contains("CAP_CHOWN") && error.contains("CAP_SETPCAP"), "{error}");
    });
}
