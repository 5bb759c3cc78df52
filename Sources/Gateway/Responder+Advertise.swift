import Fetch
import Git
import GitProtocol
import Hydration
import ObjectStore
import Policy
import Repository

extension Responder {
    /// `info/refs`. gitprotocol-http(5), "Smart Clients".
    func advertise(
        _ service: GitService, of name: RepositoryName, _ call: Call
    ) throws {
        let (request, response, requester) = (call.request, call.response, call.requester)
        switch service {
        case .uploadPack: try authorize(rule.read(name, by: requester))
        case .receivePack: try authorize(rule.write(name, by: requester))
        }
        let version = ProtocolVersion(header: request.gitProtocol)
        let gitLimits = GitLimits.until(deadline)
        let advertisement: [UInt8]
        let resolution = try manifests.resolve(name)
        call.mark(.resolved)
        switch resolution {
        case .live(let snapshot):
            advertisement =
                try answers.advertisement(
                    of: service, version, snapshot.manifest, limits: gitLimits)
                ?? advertiseByGit(service, snapshot, call)
        case .absent, .deleted:
            // Advertise an empty repository in the usual object format.
            guard service == .receivePack, limits.missingRepository == .creates,
                let empty = try answers.advertisement(
                    of: service, version, Manifest(head: .main), limits: gitLimits)
            else { throw RequestError.notFound }
            advertisement = empty
        }

        var body: [UInt8] = []
        if service == .receivePack || version != .v2 {
            PktLine.append(Array("# service=git-\(service.rawValue)\n".utf8), to: &body)
            body += PktLine.flushBytes
        }
        body += advertisement
        try response.begin(type: "application/x-git-\(service.rawValue)-advertisement")
        try response.write(body)
    }

    /// Advertises with git, if the manifest lacks peeled values.
    private func advertiseByGit(
        _ service: GitService, _ snapshot: Snapshot, _ call: Call
    ) throws -> [UInt8] {
        let slot = try slots.take(
            for: client(of: call.request), hangup: call.connection.hangupDescriptor)
        defer { _ = slot }
        call.mark(.slot)

        let gitLimits = GitLimits.until(deadline)
        let hydrated = try hydration.readWorkspace(
            snapshot, log: call.log, limits: gitLimits)
        call.mark(.hydrated)
        defer { call.mark(.git) }
        return try hydration.git.advertisement(
            of: service, in: hydrated.workspace, for: client(of: call.request),
            limits: gitLimits)
    }
}
