//! Traffic control: a token bucket at each end of a container's veth pair (tc-tbf(8)). What the host's end sends is what
//! the container receives.

use namespace::netlink::{Netlink, Request};
use rustix::io::Errno;

use crate::endpoint::Attachment;
use crate::link::Link;
use crate::{Error, Result};

// include/uapi/linux/pkt_sched.h, rtnetlink.h
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_TBF_BURST: u16 = 6;
const ROOT: u32 = 0xffff_ffff;
const HANDLE: u32 = 1 << 16;
const LINK_LAYER_ETHERNET: u8 = 1;
/// What may be sent at once: as much as a veth's largest segment.
const LEAST_BURST: u64 = 64 << 10;
/// How long a packet waits at most, as a part of a second.
const PATIENCE: u64 = 20;

/// Limits what a container sends and receives on each interface to so many bits a second.
pub(crate) fn limit(host: &Netlink, inside: &Netlink, attachment: &Attachment, bits: u64) -> Result<()> {
    for endpoint in &attachment.endpoints {
        let ends = [(inside, Some(&endpoint.interface)), (host, endpoint.host_interface.as_ref())];
        for (netlink, name) in ends.into_iter().filter_map(|(netlink, name)| Some((netlink, name?))) {
            let failed = |refusal| Error::kernel("limit the rate of interface", name, refusal);
            let link = Link::find(netlink, name).map_err(failed)?;
            match netlink.act(&bucket(link.index, bits / 8)) {
                Err(refusal) if refusal.errno == Errno::NOENT || refusal.errno == Errno::OPNOTSUPP => {
                    let what = "token bucket filter (CONFIG_NET_SCH_TBF)".to_owned();
                    return Err(Error::NotInKernel { what, whom: "a limited network rate".into() });
                }
                other => other.map_err(failed)?,
            }
        }
    }
    Ok(())
}

fn bucket(link: u32, bytes: u64) -> Request {
    // struct tcmsg: family, padding, link, handle, parent, info.
    let header = [0, link, HANDLE, ROOT, 0].map(u32::to_ne_bytes).concat();
    let burst = (bytes / 100).max(LEAST_BURST);
    let limit = (bytes / PATIENCE).saturating_add(burst);
    // struct tc_ratespec, of which the kernel reads the layer and a rate of 32 bits; struct tc_tbf_qopt.
    let mut rate = [0; 12];
    rate[1] = LINK_LAYER_ETHERNET;
    rate[8..].copy_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_ne_bytes());
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let parameters = [&rate[..], &[0; 12], &limit.to_ne_bytes(), &[0; 8]].concat();
    let burst = u32::try_from(burst).unwrap_or(u32::MAX);
    let request = Request::new(libc::RTM_NEWQDISC, &header).flags(libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
    request.text(TCA_KIND, "tbf").nested(TCA_OPTIONS, |options| {
        let options = options.attribute(TCA_TBF_PARMS, &parameters).number(TCA_TBF_BURST, burst);
        options.attribute(TCA_TBF_RATE64, &bytes.to_ne_bytes())
    })
}
