import Posix
import TestSupport

/// A site that holds requests at a fault point while its barrier is closed.
struct Held {
    let site: Site
    let barrier: TemporaryDirectory
    let repository: String
    let tree: WorkTree

    init(at point: String, options: [String] = []) throws {
        let barrier = try TemporaryDirectory()
        self.barrier = barrier
        try barrier.file("go", "")
        site = try Site(
            .file, options: options,
            environment: ["GIT_S3_BACKEND_FAULT": "\(point)=barrier:\(barrier.path)"])
        (repository, tree) = try seeded(site)
        try shut()
    }

    /// Closes the barrier again.
    func shut() throws {
        for name in try Files.names(in: barrier.path) {
            Files.removeTree("\(barrier.path)/\(name)")
        }
    }

    func waitUntilHeld(_ count: Int = 1) throws {
        try wait(for: "\(count) requests to be held") {
            try Files.names(in: barrier.path).count >= count
        }
    }

    func release() throws { try barrier.file("go", "") }
}
