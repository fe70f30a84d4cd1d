// A user's program on @kubernetes/client-node: list, create, watch, patch, exec, delete. Prints what it saw as one line of JSON.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Writable } from 'node:stream';

const [modules, namespace, group] = process.argv.slice(2);
const entry = createRequire(`${modules}/`).resolve('@kubernetes/client-node');
const k8s = await import(pathToFileURL(entry).href);

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const seen = {};

// create, list, and the error of a second create
const made = await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'one' }, data: { a: '1' } } });
seen.created = [made.metadata.name, made.metadata.creationTimestamp instanceof Date];
const listing = await core.listNamespacedConfigMap({ namespace, fieldSelector: 'metadata.name=one' });
seen.listed = listing.items.map((item) => item.metadata.name);
seen.again = await core
  .createNamespacedConfigMap({ namespace, body: { metadata: { name: 'one' } } })
  .then(() => 'no error', (error) => [error.code, JSON.parse(error.body).reason]);

// watch from the list's revision while patches go on
const events = [];
const ended = deferred();
const watcher = await new k8s.Watch(config).watch(
  `/api/v1/namespaces/${namespace}/configmaps`,
  { resourceVersion: listing.metadata.resourceVersion, fieldSelector: 'metadata.name=one' },
  (type, object) => {
    events.push([type, object.data]);
    if (type === 'DELETED') ended.resolve();
  },
  (error) => ended.reject(error ?? new Error('the watch ended too early')),
);
await core.patchNamespacedConfigMap({ name: 'one', namespace, body: [{ op: 'add', path: '/data/b', value: '2' }] });
await core.patchNamespacedConfigMap(
  { name: 'one', namespace, body: { data: { a: null } } },
  k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch),
);
seen.deleted = (await core.deleteNamespacedConfigMap({ name: 'one', namespace })).status;
await ended.promise;
watcher.abort();
seen.events = events;

// a custom kind by discovery, with server-side apply
const gadget = { apiVersion: `${group}/v1`, kind: 'Gadget', metadata: { name: 'lamp', namespace }, spec: { colour: 'red' } };
const applied = await objects.patch(gadget, undefined, undefined, 'node', true, k8s.PatchStrategy.ServerSideApply);
seen.applied = [applied.spec, applied.metadata.managedFields[0].manager];
seen.gadgets = (await objects.list(`${group}/v1`, 'Gadget', namespace)).items.map((item) => item.metadata.name);

// exec in a running pod, with its exit code
const run = async (...command) => {
  const out = [[], []];
  const [stdout, stderr] = out.map((chunks) => new Writable({ write: (chunk, _, next) => (chunks.push(chunk), next()) }));
  const done = deferred();
  const socket = await new k8s.Exec(config).exec(namespace, 'box', 'main', command, stdout, stderr, null, false, done.resolve);
  socket.on('close', () => done.reject(new Error('no status came')));
  const status = await done.promise;
  return [...out.map((chunks) => Buffer.concat(chunks).toString()), status.status, status.details?.causes?.[0]?.message ?? null];
};
seen.exec = await run('sh', '-c', 'echo out; echo err >&2');
seen.failed = await run('sh', '-c', 'exit 3');
seen.log = await core.readNamespacedPodLog({ name: 'box', namespace });
seen.deployments = (await apps.listNamespacedDeployment({ namespace })).items.length;

console.log(JSON.stringify(seen));

function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}
