import Fetch
import Git
import GitProtocol
import Hydration
import ObjectStore
import Policy
import Posix
import Repository

extension Responder {
    /// The largest decoded request of a fetch, in bytes. git keeps it in memory, and anyone can send it,
    /// a thousand times smaller as gzip. A million wants have 50 MB; git http-backend accepts 10.
    private static let maximumFetch: Int64 = 64 << 20

    /// The time in which the request must arrive.
    private static let fetchPatience = Duration.seconds(300)

    /// Bytes of the request that are read before a git process is taken: nearly always all of them.
    private static let fetchReadAhead = 1 << 20

    /// `git-upload-pack`: a fetch, or protocol v2's `ls-refs`.
    func fetch(from name: RepositoryName, _ call: Call) throws {
        let (request, response) = (call.request, call.response)
        try authorize(rule.read(name, by: call.requester))
        let limit = limits.body > 0 ? min(limits.body, Self.maximumFetch) : Self.maximumFetch
        let body = try Body(
            of: request, from: call.connection, limit: limit,
            deadline: .now + min(limits.gitTime, Self.fetchPatience), framing: .pktLines)
        let snapshot = try resolve(name)
        call.mark(.resolved)
        let type = "application/x-git-upload-pack-result"
        if try body.isProbe() {
            call.isProbe = true
            try response.begin(type: type)
            return
        }
        // In version 2 git would treat it as the end of the conversation.
        if try body.isEmpty() { throw ProtocolError.truncated("its first pkt-line") }
        if ProtocolVersion(header: request.gitProtocol) == .v2,
            let answer = try body.peek({ try answers.lsRefs($0, snapshot.manifest) })
        {
            call.mark(.body)
            call.isLsRefs()
            try response.begin(type: type)
            return try response.write(answer)
        }
        // A slow client occupies a worker, but none of the few git processes.
        try body.readAhead(Self.fetchReadAhead)
        call.mark(.body)

        let slot = try slots.take()
        defer { _ = slot }
        call.mark(.slot)

        let hydrated = try hydration.readWorkspace(
            snapshot, log: call.log, limits: .until(deadline))
        call.mark(.hydrated)
        FaultPoint.reach(.fetchHydrated)
        defer { call.mark(.git) }
        let ending = try UploadPack(git: hydration.git, client: client(of: request)).answer(
            body, in: hydrated.workspace, limits: .until(deadline)
        ) { bytes in
            if !response.hasBegun { try response.begin(type: type) }
            try response.write(bytes)
        }
        if response.hasBegun {
            // The client gets a truncated answer; the log gets the cause.
            if !ending.succeeded {
                hydrated.doubtPacks()
                let words = ending.words
                let error = GitError.failed(
                    step: "finish a fetch", reason: "\(ending.status): \(words.text)")
                if words.blameClient(havingRefs: snapshot.manifest.refs.values) {
                    call.fail(error, ErrorAnswer(status: 400, text: words.text))
                } else {
                    call.fail(error)
                }
            }
            return
        }
        if ending.succeeded {
            try response.begin(type: type)
            return
        }
        if ending.words.blameClient(havingRefs: snapshot.manifest.refs.values) {
            throw ProtocolError.badPktLine("git does not understand the request")
        }
        hydrated.doubtPacks()
        throw ending.failure
    }

    private func resolve(_ name: RepositoryName) throws -> Snapshot {
        guard case .live(let snapshot) = try manifests.resolve(name) else {
            throw RequestError.notFound
        }
        return snapshot
    }
}
